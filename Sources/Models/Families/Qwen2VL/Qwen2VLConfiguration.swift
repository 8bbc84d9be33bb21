/// Qwen2-VL's `config.json`, and Qwen2's where there is no vision part.
public struct Qwen2VLConfiguration: Sendable, Hashable {
    public var decoder: DecoderConfiguration
    /// Nil for a text model.
    public var vision: Qwen2VisionTower.Configuration?
    public var imageToken: Int32
    public var videoToken: Int32
    public var visionStartToken: Int32

    public init(
        decoder: DecoderConfiguration, vision: Qwen2VisionTower.Configuration?, imageToken: Int32, videoToken: Int32,
        visionStartToken: Int32
    ) {
        self.decoder = decoder
        self.vision = vision
        self.imageToken = imageToken
        self.videoToken = videoToken
        self.visionStartToken = visionStartToken
    }

    /// Reads the released layout, in which the decoder's fields stand at the top level.
    public init(_ reader: ConfigurationReader) throws {
        if try reader.flag("use_sliding_window", default: false) {
            throw reader.failure("use_sliding_window", "is true; sliding windows are not supported")
        }
        let visionReader = try reader.object("vision_config")
        var decoder = try DecoderConfiguration(fields: reader, ropeBase: visionReader == nil ? 10000 : 1e6)
        decoder.hasAttentionBias = true
        self.decoder = decoder
        vision = try visionReader.map { [size = decoder.hiddenSize] in
            try Qwen2VisionTower.Configuration($0, decoderSize: size)
        }
        let isMultimodal = visionReader != nil, vocabulary = decoder.vocabularySize
        func token(_ field: String, _ published: Int) throws -> Int32 {
            let id = try reader.integer(field, default: isMultimodal ? published : 0, in: 0...Int(Int32.max))
            if isMultimodal, id >= vocabulary {
                throw reader.failure(field, "is \(id), outside the vocabulary of \(vocabulary)")
            }
            return Int32(id)
        }
        imageToken = try token("image_token_id", 151655)
        videoToken = try token("video_token_id", 151656)
        visionStartToken = try token("vision_start_token_id", 151652)
        try reader.finish(
            harmless: ConfigurationReader.bookkeeping.union([
                "vision_end_token_id", "vision_token_id", "rope_scaling", "layer_types", "vision_start_token_id",
            ]))
    }
}
