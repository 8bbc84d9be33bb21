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
    /// The value in 4 bits, of a matrix that does not learn; `tensor` then is its shape without memory.
    public private(set) var quantized: QuantizedMatrix?
    /// What is learned beside this matrix.
    public internal(set) var adapter: LowRankAdapter?
    /// Who brings the value together where it lies spread over several processes; nil where `tensor` is always whole. The
    /// optimiser owns it: it holds this parameter.
    public weak var spread: (any SpreadParameters)?
    /// Which piece of the value this process computes with, where several share it; nil where `tensor` is all of it.
    public var partition: Partition?

    public init(name: String, tensor: Tensor, isConstant: Bool = false) {
        self.name = name
        self.tensor = tensor
        self.isConstant = isConstant
    }

    /// The value whole, whatever it is held in.
    public func value() throws -> Tensor { try quantized?.values() ?? tensor }

    /// Rounds the value to 4 bits, and forgets the rest of it.
    func quantize() throws {
        quantized = try QuantizedMatrix(tensor)
        tensor = try Tensor.empty(tensor.shape, dtype: tensor.dtype, device: .meta)
    }

    /// Leaves this rank its piece of a whole matrix in 4 bits.
    public func cutQuantized(_ partition: Partition) throws {
        guard let whole = quantized else { return }
        let piece = try whole.piece(partition.dimension, partition.ranges[partition.group.rank])
        tensor = try Tensor.empty(piece.shape, dtype: tensor.dtype, device: .meta)
        quantized = piece
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
