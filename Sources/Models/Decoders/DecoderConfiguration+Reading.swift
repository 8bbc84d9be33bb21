internal import Foundation
internal import NN

extension DecoderConfiguration {
    /// The decoders whose released configurations are read, by the first of `architectures`.
    private static let architectures = [
        "Qwen2ForCausalLM", "LlamaForCausalLM", "MixtralForCausalLM", "InternLM2ForCausalLM", "Phi3ForCausalLM",
    ]

    /// The same by `model_type`, for configurations that name no architecture.
    private static let modelTypes = [
        "qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM", "internlm2": "InternLM2ForCausalLM",
        "phi3": "Phi3ForCausalLM", "mixtral": "MixtralForCausalLM",
    ]

    /// Reads a decoder's own configuration, such as the `llm_config` of InternVL. Its architecture decides, not its
    /// `model_type`, which NVLM-D's files give as `llama` for a Qwen2.
    public init(decoder reader: ConfigurationReader) throws {
        let architecture = try Self.architecture(reader)
        self = try DecoderConfiguration(fields: reader, ropeBase: 10000)
        switch architecture {
        case "Qwen2ForCausalLM":
            hasAttentionBias = true
            if try reader.flag("use_sliding_window", default: false) {
                throw reader.failure("use_sliding_window", "is true; sliding windows are not supported")
            }
            // Qwen2 always has these biases; the flags are Llama's, and NVLM-D's files carry them.
            try reader.require("attention_bias", .bool(true))
        case "LlamaForCausalLM":
            hasAttentionBias = try reader.flag("attention_bias", default: false)
            hasAttentionOutputBias = hasAttentionBias
            try reader.require("mlp_bias", .bool(false))
        case "MixtralForCausalLM":
            hasAttentionBias = false
            try readExperts(reader)
        case "InternLM2ForCausalLM":
            hasAttentionBias = try reader.flag("bias", default: true)
            hasAttentionOutputBias = hasAttentionBias
            naming = .internLM2
        case "Phi3ForCausalLM":
            hasAttentionBias = false
            naming = .phi3
            let window = try reader.integer("sliding_window", default: maxPositions)
            guard window >= maxPositions else {
                throw reader.failure(
                    "sliding_window",
                    "is \(window), less than the context of \(maxPositions); sliding windows are not supported")
            }
        default: throw reader.failure("architectures", "'\(architecture)' is not supported")
        }
        try reader.finish(
            harmless: ConfigurationReader.bookkeeping.union(ConfigurationReader.generation).union([
                "pretraining_tp", "attn_implementation", "max_window_layers", "resid_pdrop", "embd_pdrop",
                "original_max_position_embeddings", "tie_encoder_decoder", "layer_types",
            ]))
    }

    /// Reads the container of the first POINTS checkpoints (`points.md` A2).
    init(customLlama reader: ConfigurationReader) throws {
        let (hidden, heads) = try reader.widthAndHeads()
        let keyValueHeads = try reader.integer("num_kv_heads", default: heads)
        guard heads.isMultiple(of: keyValueHeads) else {
            throw reader.failure(
                "num_kv_heads", "is \(keyValueHeads), which does not divide num_attention_heads \(heads)")
        }
        for (field, only) in [
            ("hidden_act", JSONValue.string("swiglu")), ("rotary_pct", .number(1)), ("rotary_compress", .number(1)),
            ("rms_norm", .bool(true)), ("norm_type", .string("rms_norm")), ("mlp_fc1_bias", .bool(false)),
            ("mlp_fc2_bias", .bool(false)),
        ] {
            try reader.require(field, only)
        }
        self.init(
            vocabularySize: try reader.integer("vocab_size"), hiddenSize: hidden,
            feedForwardSize: try reader.integer("ffn_hidden_size"), layers: try reader.integer("num_layers"),
            heads: heads, keyValueHeads: keyValueHeads,
            normEpsilon: try reader.number("layernorm_epsilon", default: 1e-5),
            ropeBase: try reader.number("rotary_emb_base", default: 10000),
            hasAttentionBias: try reader.flag("qkv_proj_bias", default: true),
            hasTiedHead: try reader.flag("tie_word_embeddings", default: false),
            maxPositions: try reader.integer("max_position_embeddings", default: 4096),
            initializerRange: try reader.number("initializer_range", default: 0.02))
        hasAttentionOutputBias = try reader.flag("out_proj_bias", default: true)
        naming = .customLlama
        // With as many key-value heads as heads there is one matrix, head by head.
        if keyValueHeads == heads { naming.projections = .grouped("query_key_value") }
        try reader.finish(
            harmless: ConfigurationReader.bookkeeping.union(ConfigurationReader.generation).union([
                "use_flash_attention", "attn_implementation", "parallel_residual", "use_parallel_residual",
            ]))
    }

    private static func architecture(_ reader: ConfigurationReader) throws -> String {
        if case .array(let names)? = reader.value("architectures"), case .string(let name)? = names.first {
            guard architectures.contains(name) else {
                throw reader.failure(
                    "architectures",
                    "names \(name), which is not supported; supported are \(architectures.joined(separator: ", "))")
            }
            return name
        }
        let type = try reader.string("model_type")
        guard let name = modelTypes[type] else {
            throw reader.failure(
                "model_type",
                "'\(type)' is not supported; supported are \(modelTypes.keys.sorted().joined(separator: ", "))")
        }
        return name
    }

    /// Reads the fields that all Hugging Face decoders share.
    ///
    /// - Parameter ropeBase: where the file has no `rope_theta`.
    init(fields reader: ConfigurationReader, ropeBase: Double) throws {
        let hidden = try reader.integer("hidden_size"), heads = try reader.integer("num_attention_heads")
        guard reader.has("head_dim") || hidden % heads == 0 else {
            throw reader.failure("num_attention_heads", "is \(heads), which does not divide hidden_size \(hidden)")
        }
        let keyValueHeads = try reader.integer("num_key_value_heads", default: heads)
        guard heads % keyValueHeads == 0 else {
            throw reader.failure(
                "num_key_value_heads", "is \(keyValueHeads), which does not divide num_attention_heads \(heads)")
        }
        let headSize = try reader.integer("head_dim", default: hidden / heads)
        guard headSize.isMultiple(of: 2) else {
            throw reader.failure(
                "num_attention_heads", "gives heads of \(headSize); rotary positions need an even size")
        }
        self.init(
            vocabularySize: try reader.integer("vocab_size"), hiddenSize: hidden,
            feedForwardSize: try reader.integer("intermediate_size"), layers: try reader.integer("num_hidden_layers"),
            heads: heads, keyValueHeads: keyValueHeads, headSize: headSize,
            normEpsilon: try reader.number("rms_norm_eps", default: 1e-6),
            ropeBase: try reader.number("rope_theta", default: ropeBase),
            activation: try reader.activation("hidden_act", default: .silu),
            hasTiedHead: try reader.flag("tie_word_embeddings", default: false),
            maxPositions: try reader.integer("max_position_embeddings", default: 32768),
            initializerRange: try reader.number("initializer_range", default: 0.02))
        try readRotaryScaling(reader)
    }

    /// Mixtral's experts, and which layers have them: Mixtral's own all, MM1's every second or fourth.
    private mutating func readExperts(_ reader: ConfigurationReader) throws {
        let count = try reader.integer("num_local_experts", default: 8, in: 1...4096)
        experts = MixtureOfExperts.Configuration(
            experts: count, active: try reader.integer("num_experts_per_tok", default: 2, in: 1...count),
            balanceWeight: try reader.number("router_aux_loss_coef", default: 0.001),
            routerWeight: try reader.number("router_z_loss_coef", default: 0))
        expertsEvery = try reader.integer("expert_layer_period", default: 1, in: 1...layers)
        try reader.require("router_jitter_noise", .number(0))
        try reader.require("output_router_logits", .bool(false))
        if let window = reader.value("sliding_window") {
            throw reader.failure("sliding_window", "is \(window); sliding windows are not supported")
        }
    }

    private mutating func readRotaryScaling(_ reader: ConfigurationReader) throws {
        guard let scaling = try reader.object("rope_scaling") else { return }
        let typeField = scaling.has("rope_type") ? "rope_type" : "type"
        let type = try scaling.string(typeField)
        func factor() throws -> Double {
            let factor = try scaling.number("factor")
            guard factor >= 1 else { throw scaling.failure("factor", "is \(factor); it must be at least 1") }
            return factor
        }
        switch type {
        case "default" where !scaling.has("mrope_section"): break
        case "default", "mrope":
            guard let sections = try scaling.integers("mrope_section", count: 3) else {
                throw scaling.failure("mrope_section", "is missing")
            }
            guard sections.allSatisfy({ $0 >= 0 }), sections.reduce(0, +) == headSize / 2 else {
                throw scaling.failure(
                    "mrope_section", "\(sections) does not add up to half the head size, \(headSize / 2)")
            }
            positions = .multimodal(sections: sections)
        case "linear": rotaryScaling = .linear(factor: try factor())
        case "dynamic": rotaryScaling = .dynamic(factor: try factor(), trainedLength: maxPositions)
        case "llama3":
            let low = try scaling.number("low_freq_factor", default: 1)
            let high = try scaling.number("high_freq_factor", default: 4)
            guard high > low, low > 0 else {
                throw scaling.failure("high_freq_factor", "is \(high), not more than low_freq_factor \(low)")
            }
            rotaryScaling = .llama3(
                factor: try factor(), lowFrequencyFactor: low, highFrequencyFactor: high,
                trainedLength: try scaling.integer("original_max_position_embeddings"))
        case "su", "longrope": rotaryScaling = try perFrequency(scaling, reader)
        default:
            throw scaling.failure(
                typeField,
                "is '\(type)'; supported are default, mrope, linear, dynamic, llama3, su and longrope")
        }
        try scaling.finish(harmless: ["type", "rope_type"])
    }

    private func perFrequency(_ scaling: ConfigurationReader, _ reader: ConfigurationReader) throws -> RotaryScaling {
        func factors(_ field: String) throws -> [Double] {
            guard let factors = try scaling.numbers(field, count: headSize / 2) else {
                throw scaling.failure(field, "is missing")
            }
            guard factors.allSatisfy({ $0 > 0 }) else {
                throw scaling.failure(field, "holds a number that is not positive")
            }
            return factors
        }
        let trained = try reader.integer("original_max_position_embeddings", default: maxPositions, in: 2...(1 << 40))
        let growth = Double(maxPositions) / Double(trained)
        return .perFrequency(
            short: try factors("short_factor"), long: try factors("long_factor"), trainedLength: trained,
            magnitude: growth <= 1 ? 1 : (1 + log(growth) / log(Double(trained))).squareRoot())
    }
}
