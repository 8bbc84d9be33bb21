// The tests of `Media`; files mirror Sources/Media.
