public import NN
public import Torch

/// Learned queries that attend to a picture's patches once (open_clip's `AttentionalPooler`; CoCa, MM1).
public final class AttentionPool {
    public let queries: Int
    private let query: Parameter
    private let queryNorm: LayerNorm
    private let keyNorm: LayerNorm
    private let attention: CrossAttention

    /// Takes `query`, `attn.*`, `ln_q.*` and `ln_k.*` from the scope.
    public init(inputSize: Int, outputSize: Int, heads: Int, queries: Int, _ scope: ParameterScope) throws {
        self.queries = queries
        query = try scope.parameter("query", [queries, outputSize], .normal(1))
        attention = try CrossAttention(
            querySize: outputSize, keySize: inputSize, heads: heads,
            layout: .pytorch(isFused: inputSize == outputSize), scope["attn"])
        queryNorm = try LayerNorm(outputSize, epsilon: 1e-5, scope["ln_q"])
        keyNorm = try LayerNorm(inputSize, epsilon: 1e-5, scope["ln_k"])
    }

    /// `[tokens of all pictures, input size]` give `[pictures × queries, output size]`, whatever each picture's number
    /// of tokens.
    public func callAsFunction(_ x: Tensor, _ segments: Segments) throws -> Tensor {
        let normed = try keyNorm(x)
        return try attention(
            queryNorm(query.tensor).tile(segments.count, 1), keys: normed, values: normed,
            queries: Segments(lengths: [Int](repeating: queries, count: segments.count)), segments: segments)
    }
}
