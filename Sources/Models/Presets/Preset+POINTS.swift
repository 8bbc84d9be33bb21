extension Preset {
    /// POINTS 1.0 and 1.5 (`points.md` A1, A2 and B1).
    static let points = [
        points1(
            "7b", "WePOINTS/POINTS-Qwen-2-5-7B-Chat", hidden: 3584, inner: 18944, layers: 28, heads: 28,
            vocabulary: 152064, base: 1_000_000, hasBias: true),
        points1(
            "9b", "WePOINTS/POINTS-Yi-1-5-9B-Chat", hidden: 4096, inner: 11008, layers: 48, heads: 32,
            vocabulary: 64000, base: 5_000_000, hasBias: false),
        Preset(
            "points-1.5-7b", "WePOINTS/POINTS-1-5-Qwen-2-5-7B-Chat",
            """
            {
              "architectures": ["POINTSV15ChatModel"], "model_type": "pointsv1.5_chat", "torch_dtype": "bfloat16",
              "vision_config": {
                "model_type": "qwen2_vl", "depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16,
                "in_chans": 3, "hidden_size": 3584, "patch_size": 14, "spatial_patch_size": 14,
                "spatial_merge_size": 2, "temporal_patch_size": 2, "hidden_act": "quick_gelu"
              },
              "llm_config": {
                "architectures": ["Qwen2ForCausalLM"], "hidden_size": 3584, "intermediate_size": 18944,
                "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
                "tie_word_embeddings": false, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
                "max_position_embeddings": 32768
              }
            }
            """),
    ]

    private static func points1(
        _ size: String, _ origin: String, hidden: Int, inner: Int, layers: Int, heads: Int, vocabulary: Int, base: Int,
        hasBias: Bool
    ) -> Preset {
        Preset(
            "points-1.0-\(size)", origin,
            """
            {
              "architectures": ["POINTSChatModel"], "model_type": "points_chat", "torch_dtype": "bfloat16",
              "vision_config": {
                "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
                "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
                "hidden_act": "quick_gelu"
              },
              "llm_config": {
                "vocab_size": \(vocabulary), "hidden_size": \(hidden), "num_layers": \(layers),
                "num_attention_heads": \(heads), "num_kv_heads": 4, "ffn_hidden_size": \(inner),
                "hidden_act": "swiglu", "rotary_pct": 1.0, "rotary_emb_base": \(base), "rotary_compress": 1.0,
                "max_position_embeddings": \(hasBias ? 32768 : 4096), "layernorm_epsilon": 1e-06, "rms_norm": true,
                "qkv_proj_bias": \(hasBias), "out_proj_bias": false, "mlp_fc1_bias": false, "mlp_fc2_bias": false,
                "tie_word_embeddings": false
              }
            }
            """)
    }
}
