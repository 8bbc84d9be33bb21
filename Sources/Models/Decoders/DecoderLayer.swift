public import NN
public import Torch

/// What all layers of one forward pass share.
public struct DecoderPass {
    public let rotary: RotaryTable
    public let segments: Segments
    public let context: ForwardContext
}

/// Grouped-query self-attention with rotary positions.
public final class SelfAttention {
    public let query: Linear
    public let key: Linear
    public let value: Linear
    public let output: Linear
    private let heads: Int
    private let keyValueHeads: Int
    private let headSize: Int
    private let index: Int

    public init(_ configuration: DecoderConfiguration, layer: Int, _ scope: ParameterScope) throws {
        heads = configuration.heads
        keyValueHeads = configuration.keyValueHeads
        headSize = configuration.headSize
        index = layer
        let hidden = configuration.hiddenSize, start = Initialization.normal(configuration.initializerRange)
        let bias = configuration.hasAttentionBias
        query = try Linear(hidden, heads * headSize, bias: bias, scope["q_proj"], initialization: start)
        key = try Linear(hidden, keyValueHeads * headSize, bias: bias, scope["k_proj"], initialization: start)
        value = try Linear(hidden, keyValueHeads * headSize, bias: bias, scope["v_proj"], initialization: start)
        output = try Linear(heads * headSize, hidden, bias: false, scope["o_proj"], initialization: start)
    }

    /// `[tokens, hidden]` gives the same shape.
    public func callAsFunction(_ x: Tensor, _ pass: DecoderPass) throws -> Tensor {
        let tokens = x.size(0)
        let q = try query(x).view([tokens, heads, headSize])
        let k = try key(x).view([tokens, keyValueHeads, headSize])
        let v = try value(x).view([tokens, keyValueHeads, headSize])
        if pass.context.caches == nil, pass.rotary.isFused(for: q, pass.segments) {
            let attended = try Tensor.rotaryAttention(
                q, k, v, cosine: pass.rotary.cosine, sine: pass.rotary.sine, segments: pass.segments, causal: true,
                scale: 1 / Double(headSize).squareRoot())
            return try output(attended)
        }
        let attended = try attend(q.rotated(by: pass.rotary), k.rotated(by: pass.rotary), v, pass)
        return try output(attended.reshape([tokens, heads * headSize]))
    }

    private func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ pass: DecoderPass) throws -> Tensor {
        let scale = 1 / Double(headSize).squareRoot()
        guard let caches = pass.context.caches else {
            return try Tensor.packedAttention(
                q, k, v, queries: pass.segments, keys: pass.segments, causal: true, scale: scale)
        }
        precondition(caches.count == pass.segments.count, "one cache for each sequence")
        var parts: [Tensor] = []
        for (sequence, cache) in caches.enumerated() {
            let range = pass.segments.range(sequence)
            if range.isEmpty { continue }
            let held = try cache.append(layer: index, key: k.slice(0, range), value: v.slice(0, range))
            parts.append(
                try Tensor.packedAttention(
                    q.slice(0, range), held.key, held.value, queries: Segments(lengths: [range.count]),
                    keys: Segments(lengths: [held.key.size(0)]), causal: true, scale: scale))
        }
        return parts.count == 1 ? parts[0] : try Tensor.cat(parts)
    }
}

/// A pre-norm block: attention, then feed-forward, each added to its input.
public final class DecoderLayer {
    public let inputNorm: any Normalization
    public let attention: SelfAttention
    public let feedForwardNorm: any Normalization
    public let feedForward: any FeedForward
    private let index: Int

    public init(_ configuration: DecoderConfiguration, layer: Int, _ scope: ParameterScope) throws {
        index = layer
        let hidden = configuration.hiddenSize, inner = configuration.feedForwardSize
        let start = Initialization.normal(configuration.initializerRange)
        inputNorm = try RMSNorm(hidden, epsilon: configuration.normEpsilon, scope["input_layernorm"])
        attention = try SelfAttention(configuration, layer: layer, scope["self_attn"])
        feedForwardNorm = try RMSNorm(hidden, epsilon: configuration.normEpsilon, scope["post_attention_layernorm"])
        let mlp = scope["mlp"]
        feedForward = GatedFeedForward(
            gate: try Linear(hidden, inner, bias: false, mlp["gate_proj"], initialization: start),
            up: try Linear(hidden, inner, bias: false, mlp["up_proj"], initialization: start),
            down: try Linear(inner, hidden, bias: false, mlp["down_proj"], initialization: start),
            activation: configuration.activation)
    }

    public func callAsFunction(_ x: Tensor, _ pass: DecoderPass) throws -> Tensor {
        let attention = try attention(inputNorm(x), pass)
        try pass.context.observe("text.layer\(index).self_attn", attention)
        let (middle, normed) = try feedForwardNorm.adding(attention, to: x)
        let forward = try feedForward(normed)
        try pass.context.observe("text.layer\(index).mlp", forward)
        return try middle + forward
    }
}
