// The tests of `Text`; files mirror Sources/Text.
