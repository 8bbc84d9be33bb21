// The tests of `Data`; files mirror Sources/Data.
