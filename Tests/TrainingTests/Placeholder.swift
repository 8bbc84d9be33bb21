// The tests of `Training`; files mirror Sources/Training.
