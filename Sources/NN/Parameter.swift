public import Torch

/// A tensor that a model learns or loads, under the name that its checkpoint gives it.
public final class Parameter {
    /// The key in the checkpoint.
    public let name: String
    /// The current value; the optimiser and adapters replace or overwrite it.
    public var tensor: Tensor

    public init(name: String, tensor: Tensor) {
        self.name = name
        self.tensor = tensor
    }

    public var shape: [Int] { tensor.shape }
    public var count: Int { tensor.count }
}

/// How a parameter starts when no checkpoint holds it.
public enum Initialization: Sendable, Hashable {
    case zeros
    case ones
    case constant(Double)
    /// Normal with mean 0.
    case normal(Double)
    /// Uniform in `-bound..<bound`.
    case uniform(Double)
}
