extension Preset {
    /// The encoders that MM1, POINTS 1.0 and their kin rest on: CLIP and SigLIP as released, AIM after its paper
    /// (El-Nouby et al. 2024, table 1).
    static let encoders = [
        clip("clip-vit-l-14", "openai/clip-vit-large-patch14", image: 224),
        clip("clip-vit-l-14-336", "openai/clip-vit-large-patch14-336", image: 336),
        siglip("b-16-224", "base-patch16-224", hidden: 768, inner: 3072, layers: 12, heads: 12, patch: 16, image: 224),
        siglip(
            "so400m-14-384", "so400m-patch14-384", hidden: 1152, inner: 4304, layers: 27, heads: 16, patch: 14,
            image: 384),
        aim("600m", hidden: 1536, layers: 24), aim("1b", hidden: 2048, layers: 24),
        aim("3b", hidden: 3072, layers: 24), aim("7b", hidden: 4096, layers: 32),
    ]

    private static func clip(_ name: String, _ origin: String, image: Int) -> Preset {
        Preset(
            name, origin,
            """
            {
              "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 768,
              "text_config": {
                "model_type": "clip_text_model", "hidden_size": 768, "intermediate_size": 3072,
                "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 49408,
                "max_position_embeddings": 77, "hidden_act": "quick_gelu"
              },
              "vision_config": {
                "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
                "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14, "image_size": \(image),
                "hidden_act": "quick_gelu"
              }
            }
            """)
    }

    private static func siglip(
        _ name: String, _ released: String, hidden: Int, inner: Int, layers: Int, heads: Int, patch: Int, image: Int
    ) -> Preset {
        let tower = """
            "hidden_size": \(hidden), "intermediate_size": \(inner), "num_hidden_layers": \(layers),
                "num_attention_heads": \(heads)
            """
        return Preset(
            "siglip-\(name)", "google/siglip-\(released)",
            """
            {
              "architectures": ["SiglipModel"], "model_type": "siglip",
              "text_config": {
                "model_type": "siglip_text_model", "vocab_size": 32000, "max_position_embeddings": 64, \(tower)
              },
              "vision_config": {
                "model_type": "siglip_vision_model", "patch_size": \(patch), "image_size": \(image), \(tower)
              }
            }
            """)
    }

    private static func aim(_ size: String, hidden: Int, layers: Int) -> Preset {
        Preset(
            "aim-\(size)", "AIM (arXiv 2401.08541)",
            """
            {
              "model_type": "aim", "hidden_size": \(hidden), "intermediate_size": \(4 * hidden),
              "num_hidden_layers": \(layers), "num_attention_heads": \(hidden / 128), "patch_size": 14,
              "image_size": 224, "head_size": 2048, "head_depth": 12
            }
            """)
    }
}
