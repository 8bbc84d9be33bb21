internal import NN

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
        let hidden = try reader.integer("hidden_size"), heads = try reader.integer("num_attention_heads")
        guard hidden % heads == 0 else {
            throw reader.failure("num_attention_heads", "is \(heads), which does not divide hidden_size \(hidden)")
        }
        let keyValueHeads = try reader.integer("num_key_value_heads", default: heads)
        guard heads % keyValueHeads == 0 else {
            throw reader.failure(
                "num_key_value_heads", "is \(keyValueHeads), which does not divide num_attention_heads \(heads)")
        }
        let headSize = hidden / heads
        let name = try reader.string("hidden_act", default: "silu")
        guard let activation = Activation(name: name) else {
            throw reader.failure("hidden_act", "'\(name)' is not supported")
        }
        if try reader.flag("use_sliding_window", default: false) {
            throw reader.failure("use_sliding_window", "is true; sliding windows are not supported")
        }
        let visionReader = try reader.object("vision_config")
        decoder = DecoderConfiguration(
            vocabularySize: try reader.integer("vocab_size"), hiddenSize: hidden,
            feedForwardSize: try reader.integer("intermediate_size"), layers: try reader.integer("num_hidden_layers"),
            heads: heads, keyValueHeads: keyValueHeads, headSize: headSize,
            normEpsilon: try reader.number("rms_norm_eps", default: 1e-6),
            ropeBase: try reader.number("rope_theta", default: visionReader == nil ? 10000 : 1e6),
            positions: try Self.positions(reader, headSize: headSize), activation: activation, hasAttentionBias: true,
            hasTiedHead: try reader.flag("tie_word_embeddings", default: false),
            maxPositions: try reader.integer("max_position_embeddings", default: 32768),
            initializerRange: try reader.number("initializer_range", default: 0.02))
        vision = try visionReader.map { try Self.vision($0, decoderSize: hidden) }
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

    private static func positions(_ reader: ConfigurationReader, headSize: Int) throws -> DecoderConfiguration.Positions
    {
        guard let scaling = try reader.object("rope_scaling") else { return .rope }
        let kind = try scaling.string(scaling.has("type") ? "type" : "rope_type", default: "")
        guard kind == "mrope" || kind == "default", let sections = try scaling.integers("mrope_section", count: 3)
        else {
            throw scaling.failure(
                "type", "is '\(kind)'; only mrope with an mrope_section of three numbers is supported")
        }
        guard sections.allSatisfy({ $0 >= 0 }), sections.reduce(0, +) == headSize / 2 else {
            throw scaling.failure("mrope_section", "\(sections) does not add up to half the head size, \(headSize / 2)")
        }
        try scaling.finish(harmless: ["type", "rope_type"])
        return .multimodal(sections: sections)
    }

    private static func vision(_ reader: ConfigurationReader, decoderSize: Int) throws -> Qwen2VisionTower.Configuration
    {
        let size = try reader.integer("embed_dim", default: 1280), heads = try reader.integer("num_heads", default: 16)
        guard size % heads == 0, size / heads % 4 == 0 else {
            throw reader.failure("num_heads", "is \(heads); embed_dim \(size) must split into heads of a multiple of 4")
        }
        let output = try reader.integer("hidden_size", default: decoderSize)
        guard output == decoderSize else {
            throw reader.failure("hidden_size", "is \(output), but the decoder's hidden_size is \(decoderSize)")
        }
        let name = try reader.string("hidden_act", default: "quick_gelu")
        guard let activation = Activation(name: name) else {
            throw reader.failure("hidden_act", "'\(name)' is not supported")
        }
        let ratio = try reader.number("mlp_ratio", default: 4)
        let patch = try reader.integer("patch_size", default: 14, in: 1...256)
        if reader.has("spatial_patch_size"), try reader.integer("spatial_patch_size") != patch {
            throw reader.failure("spatial_patch_size", "differs from patch_size \(patch)")
        }
        let channels = try reader.integer(reader.has("in_chans") ? "in_chans" : "in_channels", default: 3)
        guard channels == 3 else { throw reader.failure("in_channels", "is \(channels); pictures have 3 channels") }
        let configuration = Qwen2VisionTower.Configuration(
            hiddenSize: size, layers: try reader.integer("depth", default: 32), heads: heads,
            feedForwardSize: Int(Double(size) * ratio), patchSize: patch,
            temporalPatchSize: try reader.integer("temporal_patch_size", default: 2, in: 1...64), channels: channels,
            mergeSize: try reader.integer("spatial_merge_size", default: 2, in: 1...16), activation: activation)
        try reader.finish(harmless: ConfigurationReader.bookkeeping.union(["in_chans", "in_channels"]))
        return configuration
    }
}
