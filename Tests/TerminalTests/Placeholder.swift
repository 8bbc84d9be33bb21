// The tests of `Terminal`.
