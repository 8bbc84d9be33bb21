extension Preset {
    /// NVLM-1.0 (`nvlm.md` 1 and 5): the released D-72B, and the paper's other sizes.
    static let nvlm = [
        nvlm("D", "34B", vocabulary: 64000, yi34B), nvlm("D", "72B", vocabulary: 152064, qwen2With72B),
        nvlm("X", "34B", vocabulary: 64000, yi34B, every: 6),
        nvlm("X", "72B", vocabulary: 152064, qwen2With72B, every: 8),
        nvlm("H", "34B", vocabulary: 64000, yi34B, every: 6),
        nvlm("H", "72B", vocabulary: 152064, qwen2With72B, every: 8),
    ]

    /// - Parameter every: layers of the decoder from one gated cross-attention to the next.
    private static func nvlm(
        _ kind: String, _ size: String, vocabulary: Int, _ decoder: String, every: Int? = nil
    ) -> Preset {
        let origin = kind == "D" && size == "72B" ? "nvidia/NVLM-D-72B" : "arXiv 2409.11402"
        let distance = every.map { "\"cross_attention_every\": \($0)," } ?? ""
        return Preset(
            "nvlm-\(kind.lowercased())-\(size.lowercased())", origin,
            """
            {
              "architectures": ["NVLM_\(kind)"], "model_type": "NVLM_\(kind)", "torch_dtype": "bfloat16",
              "ps_version": "v2", "downsample_ratio": 0.5, "select_layer": -1, "force_image_size": 448,
              "dynamic_image_size": true, "min_dynamic_patch": 1, "max_dynamic_patch": 6, "use_thumbnail": true,
              \(distance)
              "vision_config": \(internViT6B),
              "llm_config": {"vocab_size": \(vocabulary), "tie_word_embeddings": false, \(decoder)}
            }
            """)
    }

    private static let qwen2With72B = """
        "architectures": ["Qwen2ForCausalLM"], "hidden_size": 8192, "intermediate_size": 29568,
        "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "max_position_embeddings": 32768
        """
}
