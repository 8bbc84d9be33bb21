public import NN
public import Torch

/// Flamingo's gated block as open_flamingo has it: cross-attention and a feed-forward part, each behind its own gate, in
/// front of a layer of the language model (Alayrac et al. 2022, section 2.2).
public final class FlamingoBlock {
    private let norm: LayerNorm
    private let attention: ColumnAttention
    private let attentionGate: Parameter
    private let feedForwardNorm: LayerNorm
    private let feedForward: PlainFeedForward
    private let feedForwardGate: Parameter

    /// Takes `attn.*`, `attn_gate`, `ff.*` and `ff_gate` from the scope.
    public init(
        hiddenSize: Int, columnSize: Int, heads: Int, headSize: Int, feedForwardFactor: Int, _ scope: ParameterScope
    ) throws {
        norm = try LayerNorm(hiddenSize, epsilon: 1e-5, scope["attn"]["norm"])
        var shape = ColumnAttention.Configuration(
            hiddenSize: hiddenSize, columnSize: columnSize, heads: heads, keyValueHeads: heads, headSize: headSize)
        shape.query = "to_q"
        shape.keyValue = .stacked("to_kv")
        shape.output = "to_out"
        attention = try ColumnAttention(shape, scope["attn"])
        attentionGate = try scope.parameter("attn_gate", [1], .zeros)
        feedForwardNorm = try LayerNorm(hiddenSize, epsilon: 1e-5, scope["ff"][0])
        let inner = hiddenSize * feedForwardFactor
        feedForward = PlainFeedForward(
            up: try Linear(hiddenSize, inner, bias: false, scope["ff"][1]),
            down: try Linear(inner, hiddenSize, bias: false, scope["ff"][3]), activation: .gelu)
        feedForwardGate = try scope.parameter("ff_gate", [1], .zeros)
    }

    /// - Parameters:
    ///   - x: `[tokens, hidden]`.
    ///   - columns: `[columns, column size]`.
    ///   - weighing: `[tokens, 1]`, 0 for tokens that attend evenly to what they see and 1 for all others; nil for none.
    /// - Returns: `[tokens, hidden]`.
    public func callAsFunction(
        _ x: Tensor, columns: Tensor, _ view: ColumnView, weighing: Tensor? = nil
    ) throws -> Tensor {
        let (key, value) = try attention.keysAndValues(columns)
        var queries = try norm(x)
        if let weighing { queries = try queries * weighing }
        let middle = try x + attention(queries, key: key, value: value, view) * attentionGate.tensor.tanh()
        return try middle + feedForward(feedForwardNorm(middle)) * feedForwardGate.tensor.tanh()
    }
}
