/// NVLM-1.0 (`nvlm.md`): InternViT-6B with dummy heads over tiles, and one of three fusions with a Qwen2 or Yi decoder.
extension ModelDesign {
    /// Reads `model_type` `NVLM_D` (the released model), `NVLM_X` and `NVLM_H` (this project's layout).
    ///
    /// - Parameter fusion: tokens in the sequence (D), gated cross-attention (X), or both (H).
    public init(nvlm reader: ConfigurationReader, _ fusion: FusionScheme) throws {
        var common = try TiledConfiguration(reader, maxTiles: 6, isDynamic: true)
        // The tower was trained with eight-fold tensor parallelism, which 25 heads do not divide.
        common.tower.transformer.paddingHeads = try reader.integer("num_dummy_heads", default: 7, in: 0...1024)
        guard common.template.isEmpty || common.template == "chatml" else {
            throw reader.failure("template", "is '\(common.template)'; only chatml is supported")
        }
        if fusion != .sequence {
            let distance = try reader.integer("cross_attention_every", in: 1...1024)
            guard distance <= common.decoder.layers else {
                throw reader.failure(
                    "cross_attention_every", "is \(distance), but the decoder has \(common.decoder.layers) layers")
            }
            common.decoder.crossAttentionEvery = distance
        }
        let tags = try Self.tileTags(reader, tileSize: common.tile.size)
        guard fusion != .crossAttention || tags != .none else {
            throw reader.failure("tile_tag_type", "is none, but NVLM-X's pictures stand in the prompt by their tags")
        }
        try reader.finish(harmless: TiledConfiguration.harmless)

        // The released code of D has no newline between turns; X and H follow the paper's ChatML.
        self.init(
            decoder: common.decoder, decoderPrefix: "language_model",
            prompt: .chatML(separator: fusion == .sequence ? "" : "\n", system: "Answer the questions."))
        // The released code without a system message cuts its prompt in the middle of one.
        if fusion == .sequence { prompt.withoutSystem = "ssistant.<|im_end|><|im_end|>" }
        var connector = common.connector(hiddenSize: fusion == .crossAttention ? nil : common.decoder.feedForwardSize)
        connector.hasBias = false
        vision = common.vision(connector)
        imagePolicy = common.imagePolicy
        readPreprocessor = TiledConfiguration.readPreprocessor
        var placement = PicturePlacement(before: "<Image>", after: "</Image>", placeholder: "<|vision_pad|>")
        placement.addsNewline = true
        placement.tags = tags
        placement.fusion = fusion
        self.placement = placement
    }

    /// The tags of the ablation (NVLM table 2); without the field, those of the released models.
    private static func tileTags(_ reader: ConfigurationReader, tileSize: Int) throws -> TileTags {
        let thumbnail = try reader.string("thumbnail_tag", default: "<tile_global_thumbnail>")
        switch try reader.string("tile_tag_type", default: "1d") {
        case "none": return .none
        case "1d": return .numbered(thumbnail: thumbnail)
        case "2d_grid": return .grid(thumbnail: thumbnail)
        case "2d_bbox": return .boundingBox(tileSize: tileSize)
        case let other:
            throw reader.failure("tile_tag_type", "is '\(other)'; supported are none, 1d, 2d_grid and 2d_bbox")
        }
    }
}
