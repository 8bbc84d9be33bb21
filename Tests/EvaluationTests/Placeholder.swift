// The tests of `Evaluation`; files mirror Sources/Evaluation.
