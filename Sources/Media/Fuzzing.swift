/// Puts `bytes` through every decoder of pictures; for fuzzing. Whatever they are, this returns.
public func fuzzImageDecoder(_ bytes: UnsafeRawBufferPointer) {
    let limits = DecodeLimits(maxBytes: 1 << 20, maxPixels: 1 << 20, shrinksOversizedJPEG: true)
    for policy in DecodePolicy.allCases {
        _ = try? Image.decode(bytes, name: "fuzz", policy: policy, limits: limits)
    }
    _ = try? Image.decode(bytes, name: "fuzz", limits: limits, scale: .atLeast(width: 1, height: 1))
}
