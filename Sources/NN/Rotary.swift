internal import Foundation
public import Torch

/// Cosines and sines of the rotation of each token: `[tokens, head size / 2]`, float32.
public struct RotaryTable {
    public let cosine: Tensor
    public let sine: Tensor

    /// From angles `[tokens, head size / 2]`.
    public init(angles: Tensor) throws {
        cosine = try angles.cos()
        sine = try angles.sin()
    }

    public init(cosine: Tensor, sine: Tensor) {
        self.cosine = cosine
        self.sine = sine
    }
}

extension Tensor {
    /// Rotates each head of `[tokens, heads, head size]`: element `i` of a head pairs with element `i + size / 2`
    /// (Su et al. 2021, in the half-rotation layout that all decoders here use). Computed in float32.
    public func rotated(by table: RotaryTable) throws -> Tensor {
        try rotated(cosine: table.cosine, sine: table.sine)
    }
}

extension RotaryTable {
    /// Whether rotation and attention can be one node of the graph: while training in bf16 on the CPU.
    public func isFused(for x: Tensor, _ segments: Segments) -> Bool {
        isGradientEnabled && x.dtype == .bfloat16 && x.device == .cpu
            && segments.lengths.allSatisfy { $0 <= Tensor.rotaryAttentionLimit }
    }
}

/// `base^(-2i / size)` for `i` in `0..<size / 2`, in float32 as the references compute it.
public func inverseFrequencies(base: Double, size: Int) -> [Float] {
    stride(from: 0, to: size, by: 2).map { 1 / powf(Float(base), Float($0) / Float(size)) }
}
