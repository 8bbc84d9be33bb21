public import Torch

/// A tensor that a model learns or loads, under the name that its checkpoint gives it.
public final class Parameter {
    /// The key in the checkpoint.
    public let name: String
    /// The current value; the optimiser and adapters replace or overwrite it.
    public var tensor: Tensor

    /// Whether checkpoints hold it but nothing learns it: tables of fixed positions, constant biases.
    public let isConstant: Bool

    /// Whether it is the matrix of a linear layer (`[out, in]`), which takes an adapter.
    public internal(set) var isLinear = false
    /// What is learned beside this matrix.
    public internal(set) var adapter: LowRankAdapter?

    public init(name: String, tensor: Tensor, isConstant: Bool = false) {
        self.name = name
        self.tensor = tensor
        self.isConstant = isConstant
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
    /// A row of sines and cosines for each place of a square grid, see `sineCosine`.
    case sineCosineGrid(side: Int)
}
