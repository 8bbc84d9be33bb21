// The tests of `Models`; files mirror Sources/Models.
