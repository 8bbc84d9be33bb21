extension Preset {
    /// The released `config.json` of the Instruct models.
    static let qwen2VL = [
        qwen2VL("2B", hidden: 1536, inner: 8960, layers: 28, heads: 12, keyValueHeads: 2, isTied: true),
        qwen2VL("7B", hidden: 3584, inner: 18944, layers: 28, heads: 28, keyValueHeads: 4, vocabulary: 152064),
        qwen2VL("72B", hidden: 8192, inner: 29568, layers: 80, heads: 64, keyValueHeads: 8, vocabulary: 152064),
    ]

    private static func qwen2VL(
        _ size: String, hidden: Int, inner: Int, layers: Int, heads: Int, keyValueHeads: Int, vocabulary: Int = 151936,
        isTied: Bool = false
    ) -> Preset {
        Preset(
            "qwen2-vl-\(size.lowercased())", "Qwen/Qwen2-VL-\(size)-Instruct",
            """
            {
              "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl",
              "vision_start_token_id": 151652, "image_token_id": 151655, "video_token_id": 151656,
              "hidden_act": "silu", "hidden_size": \(hidden), "intermediate_size": \(inner),
              "num_hidden_layers": \(layers), "num_attention_heads": \(heads), "num_key_value_heads": \(keyValueHeads),
              "vocab_size": \(vocabulary), "tie_word_embeddings": \(isTied), "max_position_embeddings": 32768,
              "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
              "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
              "use_sliding_window": false, "torch_dtype": "bfloat16",
              "vision_config": {
                "depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3,
                "hidden_size": \(hidden), "patch_size": 14, "spatial_patch_size": 14, "spatial_merge_size": 2,
                "temporal_patch_size": 2
              }
            }
            """)
    }
}
