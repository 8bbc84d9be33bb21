// The tests of `Inference`; files mirror Sources/Inference.
