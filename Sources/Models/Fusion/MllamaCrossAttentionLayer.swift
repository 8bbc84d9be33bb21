public import NN
public import Torch

/// Llama 3.2 Vision's layer: cross-attention with normed queries and keys in place of self-attention, and gates on both of
/// its branches (`MllamaCrossAttentionDecoderLayer` of transformers).
public final class MllamaCrossAttentionLayer {
    private let inputNorm: RMSNorm
    private let attention: ColumnAttention
    private let attentionGate: Parameter
    private let feedForwardNorm: RMSNorm
    private let feedForward: any FeedForward
    private let feedForwardGate: Parameter

    /// Takes the layer's parameters by their released names. Columns have the hidden size.
    public init(_ configuration: DecoderConfiguration, _ scope: ParameterScope) throws {
        let hidden = configuration.hiddenSize, epsilon = configuration.normEpsilon
        inputNorm = try RMSNorm(hidden, epsilon: epsilon, scope[configuration.naming.inputNorm])
        var shape = ColumnAttention.Configuration(
            hiddenSize: hidden, columnSize: hidden, heads: configuration.heads,
            keyValueHeads: configuration.keyValueHeads, headSize: configuration.headSize)
        shape.headNormEpsilon = epsilon
        attention = try ColumnAttention(shape, scope[configuration.naming.crossAttention])
        attentionGate = try scope.parameter("cross_attn_attn_gate", [1], .zeros)
        feedForwardNorm = try RMSNorm(hidden, epsilon: epsilon, scope[configuration.naming.feedForwardNorm])
        feedForward = try configuration.makeFeedForward(layer: 0, scope)
        feedForwardGate = try scope.parameter("cross_attn_mlp_gate", [1], .zeros)
    }

    /// - Parameters:
    ///   - x: `[tokens, hidden]`.
    ///   - columns: `[columns, hidden]`.
    ///   - forwarding: `[tokens, 1]`, 0 for tokens that the feed-forward branch passes over and 1 for all others; nil for
    ///     none.
    /// - Returns: `[tokens, hidden]`.
    public func callAsFunction(
        _ x: Tensor, columns: Tensor, _ view: ColumnView, forwarding: Tensor? = nil
    ) throws -> Tensor {
        let (key, value) = try attention.keysAndValues(columns)
        let seen = try attention(inputNorm(x), key: key, value: value, view) * attentionGate.tensor.tanh()
        let (middle, normed) = try feedForwardNorm.adding(seen, to: x)
        var forward = try feedForward(normed)
        if let forwarding { forward = try forward * forwarding }
        return try middle + forward * feedForwardGate.tensor.tanh()
    }
}
