public import Torch

/// What stands before attention and feed-forward parts: layer norm or RMS norm.
public protocol Normalization {
    /// `[…, size]` gives the same shape and type.
    func callAsFunction(_ x: Tensor) throws -> Tensor
    /// `x + delta` and its norm.
    func adding(_ delta: Tensor, to x: Tensor) throws -> (sum: Tensor, norm: Tensor)
}

public final class LayerNorm: Normalization {
    public let weight: Parameter
    public let bias: Parameter?
    public let epsilon: Double

    public init(_ size: Int, epsilon: Double, bias: Bool = true, _ scope: ParameterScope) throws {
        weight = try scope.parameter("weight", [size], .ones)
        self.bias = bias ? try scope.parameter("bias", [size], .zeros) : nil
        self.epsilon = epsilon
    }

    /// A norm over parameters that go by other names.
    public init(weight: Parameter, bias: Parameter?, epsilon: Double) {
        self.weight = weight
        self.bias = bias
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try x.layerNorm(weight.tensor, bias?.tensor, epsilon: epsilon)
    }

    public func adding(_ delta: Tensor, to x: Tensor) throws -> (sum: Tensor, norm: Tensor) {
        try x.addingLayerNorm(delta, weight.tensor, bias?.tensor, epsilon: epsilon)
    }
}

/// Root-mean-square norm (Zhang and Sennrich 2019), in the order of the reference: statistics in float32, back to the
/// input's type, then times the weight.
public final class RMSNorm: Normalization {
    public let weight: Parameter
    public let epsilon: Double

    public init(_ size: Int, epsilon: Double, _ scope: ParameterScope) throws {
        weight = try scope.parameter("weight", [size], .ones)
        self.epsilon = epsilon
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor { try x.rmsNorm(weight.tensor, epsilon: epsilon) }

    public func adding(_ delta: Tensor, to x: Tensor) throws -> (sum: Tensor, norm: Tensor) {
        try x.addingRMSNorm(delta, weight.tensor, epsilon: epsilon)
    }
}
