extension Preset {
    /// MM1's sizes. The paper gives numbers of parameters, of experts and of layers with experts, and nothing more of its
    /// decoders; widths and depths here are such that these numbers come out.
    static let mm1 = [
        mm1("3b", hidden: 2560, inner: 7872, layers: 32, heads: 20),
        mm1("3b-moe-64e", hidden: 2560, inner: 7872, layers: 32, heads: 20, experts: 64, every: 2),
        mm1("7b", hidden: 4096, inner: 13056, layers: 32, heads: 32),
        mm1("7b-moe-32e", hidden: 4096, inner: 13056, layers: 32, heads: 32, experts: 32, every: 4),
        mm1("30b", hidden: 6656, inner: 16384, layers: 60, heads: 52),
    ]

    private static func mm1(
        _ size: String, hidden: Int, inner: Int, layers: Int, heads: Int, experts: Int? = nil, every: Int = 1
    ) -> Preset {
        let mixture = experts.map {
            """
            "num_local_experts": \($0), "num_experts_per_tok": 2, "expert_layer_period": \(every),
                "router_aux_loss_coef": 0.01, "router_z_loss_coef": 0.001,
            """
        }
        return Preset(
            "mm1-\(size)", "MM1 (arXiv 2403.09611); the decoder's widths are not published",
            """
            {
              "model_type": "mm1", "image_size": 378,
              "vision_config": {
                "model_type": "clip_vision_model", "hidden_size": 1280, "num_hidden_layers": 32,
                "num_attention_heads": 16, "intermediate_size": 5120, "patch_size": 14, "image_size": 378,
                "hidden_act": "quick_gelu"
              },
              "connector": {"type": "c-abstractor", "tokens": 144},
              "llm_config": {
                "architectures": ["\(experts == nil ? "Llama" : "Mixtral")ForCausalLM"], "hidden_size": \(hidden),
                "intermediate_size": \(inner), "num_hidden_layers": \(layers), "num_attention_heads": \(heads),
                \(mixture ?? "")
                "vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "rope_theta": 10000.0
              }
            }
            """)
    }

    /// Qwen-VL's released `config.json`, in the fields that matter.
    static let qwenVL = [
        Preset(
            "qwen-vl-7b", "Qwen/Qwen-VL-Chat",
            """
            {
              "architectures": ["QWenLMHeadModel"], "model_type": "qwen", "hidden_size": 4096,
              "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32, "kv_channels": 128,
              "vocab_size": 151936, "seq_length": 2048, "max_position_embeddings": 8192, "rotary_emb_base": 10000,
              "rotary_pct": 1.0, "layer_norm_epsilon": 1e-06, "no_bias": true, "tie_word_embeddings": false,
              "use_dynamic_ntk": true, "use_logn_attn": true,
              "visual": {
                "heads": 16, "image_size": 448, "image_start_id": 151857, "layers": 48, "mlp_ratio": 4.9231,
                "output_dim": 4096, "patch_size": 14, "width": 1664
              }
            }
            """)
    ]
}
