// The tests of `NN`; files mirror Sources/NN.
