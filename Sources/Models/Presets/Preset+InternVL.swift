extension Preset {
    /// The released `config.json` of InternVL2 (`internvl2.md` 3). What the decoders' rotary scaling adds to long prompts
    /// is left out where it was not published with the paper: it has no parameters.
    static let internVL2 = [
        internVL2(
            "1B", "1B", internViT300M, template: "Hermes-2", vocabulary: 151655,
            """
            "architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "intermediate_size": 4864,
            "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
            "rope_theta": 1000000.0, "max_position_embeddings": 32768
            """),
        internVL2(
            "2B", "2B", internViT300M, template: "internlm2-chat", vocabulary: 92553,
            """
            "architectures": ["InternLM2ForCausalLM"], "bias": false, "hidden_size": 2048, "intermediate_size": 8192,
            "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
            "rope_theta": 1000000.0, "max_position_embeddings": 32768
            """),
        internVL2(
            "4B", "4B", internViT300M, template: "phi3-chat", vocabulary: 32020,
            """
            "architectures": ["Phi3ForCausalLM"], "hidden_size": 3072, "intermediate_size": 8192,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0, "max_position_embeddings": 131072, "original_max_position_embeddings": 4096
            """),
        internVL2(
            "8B", "8B", internViT300M, template: "internlm2-chat", vocabulary: 92553,
            """
            "architectures": ["InternLM2ForCausalLM"], "bias": false, "hidden_size": 4096, "intermediate_size": 14336,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
            "rope_theta": 1000000.0, "rope_scaling": {"type": "dynamic", "factor": 2.0},
            "max_position_embeddings": 32768
            """),
        internVL2(
            "26B", "26B", internViT6B, template: "internlm2-chat", vocabulary: 92553,
            """
            "architectures": ["InternLM2ForCausalLM"], "bias": false, "hidden_size": 6144, "intermediate_size": 16384,
            "num_hidden_layers": 48, "num_attention_heads": 48, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
            "rope_theta": 1000000.0, "max_position_embeddings": 32768
            """),
        internVL2("40B", "40B", internViT6B, template: "Hermes-2", vocabulary: 64009, yi34B),
        internVL2(
            "76B", "Llama3-76B", internViT6B, template: "internlm2-chat", vocabulary: 128265,
            """
            "architectures": ["LlamaForCausalLM"], "hidden_size": 8192, "intermediate_size": 28672,
            "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
            "rope_theta": 500000.0, "max_position_embeddings": 8192
            """),
    ]

    private static func internVL2(
        _ size: String, _ released: String, _ tower: String, template: String, vocabulary: Int, _ decoder: String
    ) -> Preset {
        Preset(
            "internvl2-\(size.lowercased())", "OpenGVLab/InternVL2-\(released)",
            """
            {
              "architectures": ["InternVLChatModel"], "model_type": "internvl_chat", "torch_dtype": "bfloat16",
              "template": "\(template)", "ps_version": "v2", "downsample_ratio": 0.5, "select_layer": -1,
              "force_image_size": 448, "dynamic_image_size": true, "min_dynamic_patch": 1, "max_dynamic_patch": 12,
              "use_thumbnail": true, "pad2square": false, "use_backbone_lora": 0, "use_llm_lora": 0,
              "vision_config": \(tower),
              "llm_config": {"vocab_size": \(vocabulary), "tie_word_embeddings": false, \(decoder)}
            }
            """)
    }

    /// InternViT-300M-448px.
    static let internViT300M = """
        {
          "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 448, "patch_size": 14, "hidden_act": "gelu", "norm_type": "layer_norm",
          "layer_norm_eps": 1e-06, "qkv_bias": true, "qk_normalization": false, "initializer_factor": 1.0
        }
        """

    /// InternViT-6B-448px-V1-5.
    static let internViT6B = """
        {
          "hidden_size": 3200, "intermediate_size": 12800, "num_hidden_layers": 45, "num_attention_heads": 25,
          "image_size": 448, "patch_size": 14, "hidden_act": "gelu", "norm_type": "rms_norm",
          "layer_norm_eps": 1e-06, "qkv_bias": false, "qk_normalization": true, "initializer_factor": 0.1
        }
        """

    /// Nous-Hermes-2-Yi-34B.
    static let yi34B = """
        "architectures": ["LlamaForCausalLM"], "hidden_size": 7168, "intermediate_size": 20480,
        "num_hidden_layers": 60, "num_attention_heads": 56, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_theta": 5000000.0, "max_position_embeddings": 4096
        """
}
