// The tests of `Safetensors`; files mirror Sources/Safetensors.
