/// The names under which released checkpoints hold a decoder's parameters, and how they stack some of them.
public struct DecoderNaming: Sendable, Hashable {
    /// Queries, keys and values.
    public enum AttentionProjections: Sendable, Hashable {
        case separate(query: String, key: String, value: String)
        /// One matrix whose rows are all queries, then all keys, then all values.
        case stacked(String)
        /// One matrix whose rows are, for each key-value head, its queries, its key and its value.
        case grouped(String)
        /// Queries by themselves; in the other matrix each key-value head's key and value.
        case groupedKeyValue(query: String, keyValue: String)
    }

    /// The matrices of the gated feed-forward part.
    public enum FeedForwardProjections: Sendable, Hashable {
        case separate(gate: String, up: String, down: String)
        /// One matrix whose rows are all of the gate, then all of the other factor.
        case stackedGateFirst(String, down: String)
        /// The same with the gate last.
        case stackedGateLast(String, down: String)
    }

    /// What stands before the layers, with dots between; empty for none.
    public var model: String
    public var embedding: String
    public var norm: String
    /// Beside `model`, not in it.
    public var head: String
    /// What stands before a layer's number.
    public var layers = "layers"
    public var inputNorm: String
    public var attention: String
    public var projections: AttentionProjections
    public var output: String
    public var feedForwardNorm: String
    public var feedForward: String
    public var feedForwardProjections: FeedForwardProjections
    /// The mixture of experts that stands in place of `feedForward` (Mixtral's name).
    public var mixture = "block_sparse_moe"
    /// NVLM-X's and NVLM-H's gated part, where a layer has one.
    public var crossAttention = "cross_attn"

    /// Llama, Yi, Qwen2.
    public static let llama = DecoderNaming(
        model: "model", embedding: "embed_tokens", norm: "norm", head: "lm_head", inputNorm: "input_layernorm",
        attention: "self_attn", projections: .separate(query: "q_proj", key: "k_proj", value: "v_proj"),
        output: "o_proj", feedForwardNorm: "post_attention_layernorm", feedForward: "mlp",
        feedForwardProjections: .separate(gate: "gate_proj", up: "up_proj", down: "down_proj"))

    public static let internLM2 = DecoderNaming(
        model: "model", embedding: "tok_embeddings", norm: "norm", head: "output", inputNorm: "attention_norm",
        attention: "attention", projections: .grouped("wqkv"), output: "wo", feedForwardNorm: "ffn_norm",
        feedForward: "feed_forward", feedForwardProjections: .separate(gate: "w1", up: "w3", down: "w2"))

    public static let phi3: DecoderNaming = {
        var naming = llama
        naming.projections = .stacked("qkv_proj")
        naming.feedForwardProjections = .stackedGateFirst("gate_up_proj", down: "down_proj")
        return naming
    }()

    /// Qwen-1.
    public static let qwen: DecoderNaming = {
        var naming = DecoderNaming(
            model: "transformer", embedding: "wte", norm: "ln_f", head: "lm_head", inputNorm: "ln_1",
            attention: "attn", projections: .stacked("c_attn"), output: "c_proj", feedForwardNorm: "ln_2",
            feedForward: "mlp", feedForwardProjections: .separate(gate: "w2", up: "w1", down: "c_proj"))
        naming.layers = "h"
        return naming
    }()

    /// The container of the first POINTS checkpoints (`points.md` A2).
    public static let customLlama = DecoderNaming(
        model: "lm", embedding: "embed_in", norm: "final_layer_norm", head: "embed_out", inputNorm: "input_layernorm",
        attention: "attention", projections: .groupedKeyValue(query: "query_dense", keyValue: "key_value_dense"),
        output: "dense", feedForwardNorm: "post_attention_layernorm", feedForward: "mlp",
        feedForwardProjections: .stackedGateLast("dense_h_to_4h", down: "dense_4h_to_h"))
}
