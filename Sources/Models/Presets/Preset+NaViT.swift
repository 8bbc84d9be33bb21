extension Preset {
    /// NaViT's sizes (Dehghani et al. 2023, section 3): those of ViT, fine-tuned to ImageNet's classes at up to 512
    /// pixels a side.
    static let navit = [
        navit("b-32", hidden: 768, layers: 12, heads: 12, patch: 32),
        navit("b-16", hidden: 768, layers: 12, heads: 12, patch: 16),
        navit("l-16", hidden: 1024, layers: 24, heads: 16, patch: 16),
    ]

    private static func navit(_ size: String, hidden: Int, layers: Int, heads: Int, patch: Int) -> Preset {
        Preset(
            "navit-\(size)", "NaViT (arXiv 2307.06304)",
            """
            {
              "model_type": "navit", "image_size": 512, "patch_size": \(patch), "num_classes": 1000,
              "dim": \(hidden), "depth": \(layers), "heads": \(heads), "dim_head": 64, "mlp_dim": \(4 * hidden)
            }
            """)
    }
}
