public import Torch

/// `x · weightᵀ + bias`, with weights as checkpoints hold them: `[out, in]`.
public final class Linear {
    public let weight: Parameter
    public let bias: Parameter?

    /// Takes `weight` and, if asked, `bias` from the scope.
    public init(
        _ input: Int, _ output: Int, bias: Bool, _ scope: ParameterScope, initialization: Initialization? = nil
    ) throws {
        let start = initialization ?? .normal(0.02)
        weight = try scope.parameter("weight", [output, input], start)
        weight.isLinear = true
        self.bias = bias ? try scope.parameter("bias", [output], .zeros) : nil
    }

    /// A layer over parameters that another layer owns, as tied embeddings are.
    public init(weight: Parameter, bias: Parameter? = nil) {
        self.weight = weight
        self.bias = bias
    }

    /// `[…, in]` gives `[…, out]`.
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        guard let adapter = weight.adapter else { return try weight.product(x, bias?.tensor) }
        if adapter.magnitude == nil { return try weight.product(x, bias?.tensor) + adapter(x) }
        let adapted = try adaptedProduct(x)
        return try bias.map { try adapted + $0.tensor } ?? adapted
    }

    /// Without the bias.
    func adaptedProduct(_ x: Tensor) throws -> Tensor {
        let plain = try weight.product(x)
        guard let adapter = weight.adapter else { return plain }
        return try plain + (adapter.magnitude.map { try adapter.turning(plain, x, weight, $0) } ?? adapter(x))
    }

    /// Whether `x · weightᵀ` is all that there is to it.
    public var isPlain: Bool { bias == nil && weight.adapter == nil && weight.quantized == nil }
}

extension Parameter {
    /// `x · tensorᵀ + bias`, whatever the matrix is held in.
    func product(_ x: Tensor, _ bias: Tensor? = nil) throws -> Tensor {
        try quantized.map { try x.linear($0, bias) } ?? x.linear(tensor, bias)
    }
}

/// A table of vectors by id.
public final class Embedding {
    public let weight: Parameter
    /// What of the table this rank has; nil where it has all.
    public private(set) var part: VocabularyPart?

    public init(_ count: Int, _ size: Int, _ scope: ParameterScope, initialization: Initialization = .normal(0.02))
        throws
    {
        weight = try scope.parameter("weight", [count, size], initialization)
    }

    /// Ids `[…]` give vectors `[…, size]`.
    public func callAsFunction(_ ids: Tensor) throws -> Tensor {
        guard let part else { return try weight.tensor.embedding(ids) }
        let (places, areOwn) = try part.places(of: ids), found = try weight.tensor.embedding(places)
        // One rank's vector and zeros.
        return try part.group.summing(found * areOwn.to(found.dtype).unsqueeze(-1))
    }

    /// Has a part of the table from now on, in which ranks take turns.
    public func divide(over division: TensorDivision) {
        let partition = Partition(of: weight, 0, over: division)
        weight.partition = partition
        part = partition.ranges[division.group.rank].first.map { VocabularyPart(ids: $0, group: division.group) }
    }

    public func unite() {
        weight.partition = nil
        part = nil
    }
}
