internal import NN

/// Qwen-VL (`qwen-vl.md`): a square of 448 through ViT-bigG, a resampler to 256 queries, tokens in the sequence of a
/// Qwen-7B. Qwen-7B itself where the configuration has no `visual`.
extension ModelDesign {
    /// Reads `model_type` `qwen`.
    public init(qwenVL reader: ConfigurationReader) throws {
        let decoder = try DecoderConfiguration(qwen: reader)
        self.init(
            decoder: decoder, decoderPrefix: "",
            prompt: .chatML(separator: "\n", system: "You are a helpful assistant."))
        prompt.marks = ["<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"]
        prompt.questionMarks = prompt.marks
        if let visual = try reader.object("visual") {
            let configuration = try QwenVLVision(visual, decoder: decoder)
            vision = configuration.design
            imagePolicy = FixedSize(configuration.tile)
            var placement = PicturePlacement(before: "<img>", after: "</img>\n", placeholder: "<imgpad>")
            placement.numberLabel = "Picture"
            placement.holdsNames = true
            self.placement = placement
            requiredTokens = [
                RequiredToken(text: "<img>", id: configuration.startToken, field: "visual.image_start_id")
            ]
        }
        try reader.finish(
            harmless: ConfigurationReader.bookkeeping.union(ConfigurationReader.generation).union([
                "attn_dropout_prob", "emb_dropout_prob", "bf16", "fp16", "fp32", "onnx_safe", "tokenizer_type",
                "use_flash_attn", "use_cache_quantization", "use_cache_kernel", "softmax_in_fp32", "tokenizer_class",
            ]))
    }
}

extension DecoderConfiguration {
    /// Reads Qwen-1's configuration.
    init(qwen reader: ConfigurationReader) throws {
        let (hidden, heads) = try reader.widthAndHeads(default: 4096, heads: 32)
        let headSize = try reader.integer("kv_channels", default: hidden / heads, in: 2...4096)
        guard headSize.isMultiple(of: 2), headSize * heads == hidden else {
            throw reader.failure(
                "kv_channels", "is \(headSize); \(heads) heads of an even size must fill hidden_size \(hidden)")
        }
        let inner = try reader.integer("intermediate_size", default: 22016)
        guard inner.isMultiple(of: 2) else {
            throw reader.failure("intermediate_size", "is \(inner); it counts both branches, so it must be even")
        }
        try reader.require("rotary_pct", .number(1))
        try reader.require("no_bias", .bool(true))
        try reader.require("scale_attn_weights", .bool(true))
        self.init(
            vocabularySize: try reader.integer("vocab_size", default: 151936), hiddenSize: hidden,
            feedForwardSize: inner / 2, layers: try reader.integer("num_hidden_layers", default: 32, in: 1...1024),
            heads: heads, keyValueHeads: heads, headSize: headSize,
            normEpsilon: try reader.number("layer_norm_epsilon", default: 1e-6),
            ropeBase: try reader.number("rotary_emb_base", default: 10000), hasAttentionBias: true,
            hasTiedHead: try reader.flag("tie_word_embeddings", default: false),
            maxPositions: try reader.integer("max_position_embeddings", default: 8192),
            initializerRange: try reader.number("initializer_range", default: 0.02))
        naming = .qwen
        let trained = try reader.integer("seq_length", default: 2048, in: 2...(1 << 30))
        if try reader.flag("use_dynamic_ntk", default: true) { rotaryScaling = .doubling(trainedLength: trained) }
        if try reader.flag("use_logn_attn", default: true) { logarithmicAttention = trained }
    }
}

/// The `visual` part of Qwen-VL's configuration.
private struct QwenVLVision {
    var design: VisionDesign
    var tile: TileShape
    var startToken: Int

    init(_ reader: ConfigurationReader, decoder: DecoderConfiguration) throws {
        let (width, heads) = try reader.widthAndHeads("width", "heads", default: 1664, heads: 16)
        let patch = try reader.integer("patch_size", default: 14, in: 1...256)
        let image = try reader.integer("image_size", default: 448, in: patch...16384)
        guard image.isMultiple(of: patch) else {
            throw reader.failure("image_size", "is \(image), not a multiple of patch_size \(patch)")
        }
        let ratio = try reader.number("mlp_ratio", default: 4.9231)
        guard ratio > 0, ratio < 256 else { throw reader.failure("mlp_ratio", "is \(ratio)") }
        let output = try reader.integer("output_dim", default: 4096)
        guard output == decoder.hiddenSize else {
            throw reader.failure("output_dim", "is \(output), but the decoder's hidden_size is \(decoder.hiddenSize)")
        }
        let queries = try reader.integer("n_queries", default: 256, in: 1...(1 << 16))
        guard isSquare(queries) else {
            throw reader.failure("n_queries", "is \(queries), which is not a square number")
        }
        guard output.isMultiple(of: 128), output.isMultiple(of: 4) else {
            throw reader.failure("output_dim", "is \(output); the resampler has heads of 128")
        }
        startToken = try reader.integer("image_start_id", default: 151857, in: 0...Int(Int32.max))
        tile = TileShape(size: image, patchSize: patch, features: queries, normalization: .clip)
        tile.featuresHavePlaces = false
        // Positions were learned at 224 pixels and are interpolated, whatever the size is now.
        let tower = VisionTransformerConfiguration(
            hiddenSize: width, layers: try reader.integer("layers", default: 48, in: 1...1024), heads: heads,
            feedForwardSize: Int(Double(width) * ratio), patchSize: patch, positions: .table(side: 16), keys: .qwenVL,
            patchEmbedding: .convolution(bias: false), hasEmbeddingNorm: true)
        design = VisionDesign(
            towers: [VisionDesign.Tower("transformer.visual", TiledTower(tower))],
            connectorPrefix: "transformer.visual",
            connector: QwenVLConnector.Configuration(
                side: squareRoot(queries), inputSize: width, outputSize: output))
        try reader.finish(harmless: [])
        // As the paper counts: the norm and the projection behind the resampler belong to the tower.
        design.connectorNames = ["attn_pool."]
    }
}
