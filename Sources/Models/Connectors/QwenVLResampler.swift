public import NN
public import Torch

/// Qwen-VL's connector: one cross-attention from learned queries to the patches, both told their places by fixed sines
/// and cosines of column and row (Bai et al. 2023, section 2.1; `visual.py` of the released model).
public final class QwenVLResampler {
    public let queries: Int
    public let side: Int
    private let size: Int
    private let positions: Parameter
    private let query: Parameter
    private let input: Linear
    private let queryNorm: LayerNorm
    private let keyNorm: LayerNorm
    private let attention: CrossAttention

    /// Takes `pos_embed`, `query`, `kv_proj`, `attn.*`, `ln_q.*` and `ln_kv.*` from the scope.
    ///
    /// - Parameter side: queries a side.
    public init(side: Int, inputSize: Int, outputSize: Int, heads: Int, _ scope: ParameterScope) throws {
        self.side = side
        size = outputSize
        queries = side * side
        positions = try scope.constant("pos_embed", [queries, outputSize], .sineCosineGrid(side: side))
        query = try scope.parameter("query", [queries, outputSize], .normal(0.02))
        input = try Linear(inputSize, outputSize, bias: false, scope["kv_proj"])
        attention = try CrossAttention(
            querySize: outputSize, keySize: outputSize, heads: heads, layout: .pytorch(isFused: true), scope["attn"])
        queryNorm = try LayerNorm(outputSize, epsilon: 1e-6, scope["ln_q"])
        keyNorm = try LayerNorm(outputSize, epsilon: 1e-6, scope["ln_kv"])
    }

    /// The places of the queries as the checkpoint holds them, `[queries, output size]`.
    public var positionTable: Tensor { positions.tensor }

    /// `[pictures, side², input size]` of a square grid give `[pictures, queries, output size]`.
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        let pictures = x.size(0), tokens = x.size(1)
        guard isSquare(tokens) else {
            throw ProcessingError.unsupported("\(tokens) patches are not a square grid, which the resampler needs")
        }
        let grid = squareRoot(tokens)
        let values = try keyNorm(input(x))
        let places = try positions.tensor.resizedGrid(side: side, height: grid, width: grid)
        let flat = try values.reshape([pictures * tokens, size])
        let keys = try (values + places).reshape([pictures * tokens, size])
        let asked = try (queryNorm(query.tensor) + positions.tensor).tile(pictures, 1)
        return try attention(
            asked, keys: keys, values: flat,
            queries: Segments(lengths: [Int](repeating: queries, count: pictures)),
            segments: Segments(lengths: [Int](repeating: tokens, count: pictures))
        ).view([pictures, queries, size])
    }
}

/// Qwen-VL's connector: the resampler, a norm and a projection.
public final class QwenVLConnector: Connector {
    public struct Configuration: ConnectorConfiguration, Hashable {
        /// Queries a side.
        public var side: Int
        public var inputSize: Int
        public var outputSize: Int

        public init(side: Int, inputSize: Int, outputSize: Int) {
            self.side = side
            self.inputSize = inputSize
            self.outputSize = outputSize
        }

        public func makeConnector(_ scope: ParameterScope) throws -> any Connector { try QwenVLConnector(self, scope) }

        public var summary: String { "\(side * side) queries of \(outputSize) that attend to the patches" }
    }

    public let resampler: QwenVLResampler
    private let norm: LayerNorm
    private let projection: Parameter

    /// Takes `attn_pool.*`, `ln_post.*` and `proj` from the scope.
    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        let size = configuration.outputSize
        resampler = try QwenVLResampler(
            side: configuration.side, inputSize: configuration.inputSize, outputSize: size, heads: size / 128,
            scope["attn_pool"])
        norm = try LayerNorm(size, epsilon: 1e-6, scope["ln_post"])
        projection = try scope.parameter("proj", [size, size], .normal(1 / Double(size).squareRoot()))
    }

    public func callAsFunction(_ features: Tensor) throws -> Tensor { try self(features, ForwardContext()) }

    public func callAsFunction(_ features: Tensor, _ context: ForwardContext) throws -> Tensor {
        let pooled = try resampler(features)
        try context.observe("vision.attn_pool", pooled)
        // Not transposed: rows are inputs.
        return try norm(pooled).matmul(projection.tensor).reshape([-1, pooled.size(2)])
    }
}
