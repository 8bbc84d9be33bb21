// The tests of `Torch`; files mirror Sources/Torch.
