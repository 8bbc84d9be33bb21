public import NN
public import Torch

/// SigLIP's head: a learned query attends to all patches of a picture, then a norm and a feed-forward part on top
/// (the multi-head attention pooling of Zhai et al. 2022).
public final class AttentionPoolHead {
    private let probe: Parameter
    private let attention: CrossAttention
    private let norm: LayerNorm
    private let feedForward: PlainFeedForward
    private let size: Int

    /// Takes `probe`, `attention.*`, `layernorm.*` and `mlp.*` from the scope, in transformers' names.
    public init(
        hiddenSize: Int, heads: Int, feedForwardSize: Int, activation: Activation = .geluTanh,
        normEpsilon: Double = 1e-6, _ scope: ParameterScope
    ) throws {
        size = hiddenSize
        probe = try scope.parameter("probe", [1, 1, hiddenSize], .normal(1 / Double(hiddenSize).squareRoot()))
        attention = try CrossAttention(
            querySize: hiddenSize, keySize: hiddenSize, heads: heads, layout: .pytorch(isFused: true),
            scope["attention"])
        norm = try LayerNorm(hiddenSize, epsilon: normEpsilon, scope["layernorm"])
        feedForward = PlainFeedForward(
            up: try Linear(hiddenSize, feedForwardSize, bias: true, scope["mlp.fc1"]),
            down: try Linear(feedForwardSize, hiddenSize, bias: true, scope["mlp.fc2"]), activation: activation)
    }

    /// `[tokens of all pictures, hidden]` give one feature a picture, `[pictures, hidden]`.
    public func callAsFunction(_ tokens: Tensor, _ segments: Segments) throws -> Tensor {
        let pictures = segments.count
        let query = try probe.tensor.view([1, size]).expand([pictures, size])
        let single = Segments(lengths: [Int](repeating: 1, count: pictures))
        let pooled = try attention(query, keys: tokens, values: tokens, queries: single, segments: segments)
        return try pooled + feedForward(norm(pooled))
    }
}
