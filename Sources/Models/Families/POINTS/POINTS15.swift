/// POINTS 1.5 (`points.md` part B): Qwen2-VL's tower without its merger, a merger of its own, tokens in the sequence of a
/// Qwen2.5 with ordinary positions.
extension ModelDesign {
    /// Reads `model_type` `pointsv1.5_chat`, of which there are two uploads: with Qwen2's keys and with CustomLlama's.
    public init(points15 reader: ConfigurationReader) throws {
        guard let language = try reader.object("llm_config") else { throw reader.failure("llm_config", "is missing") }
        guard let visual = try reader.object("vision_config") else {
            throw reader.failure("vision_config", "is missing")
        }
        let decoder = try Self.pointsDecoder(language)
        let tower = try Qwen2VisionTower.Configuration(visual, decoderSize: decoder.hiddenSize)
        try reader.finish(harmless: ConfigurationReader.bookkeeping.union(["hidden_size", "tie_word_embeddings"]))

        self.init(decoder: decoder, decoderPrefix: "llm", prompt: .chatML(separator: "\n"))
        prompt.system = nil
        let merger = PatchMerger.Configuration(
            inputSize: tower.hiddenSize, mergeSize: tower.mergeSize, outputSize: decoder.hiddenSize)
        vision = VisionDesign(
            towers: [VisionDesign.Tower("vision_encoder", tower)], connectorPrefix: "vision_projector",
            connector: merger)
        idleConnector = ("vision_encoder.merger", merger)
        imagePolicy = NativeResolution(
            patchSize: tower.patchSize, temporalPatchSize: tower.temporalPatchSize, mergeSize: tower.mergeSize,
            version: .points15)
        readPreprocessor = { _, folder in try NativeResolution(folder: folder, tower: tower, version: .points15) }
        placement = PicturePlacement(
            before: "<|vision_start|>", after: "<|vision_end|>\n", placeholder: "<|image_pad|>")
    }

    /// The decoder of either upload.
    static func pointsDecoder(_ reader: ConfigurationReader) throws -> DecoderConfiguration {
        try reader.has("ffn_hidden_size")
            ? DecoderConfiguration(customLlama: reader) : DecoderConfiguration(decoder: reader)
    }
}
