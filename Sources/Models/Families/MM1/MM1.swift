internal import NN

/// MM1 (`mm1.md`): a square of 378, or sub-images up to 1344, through a CLIP or AIM tower; a C-Abstractor, average or
/// attention pooling to 64 or 144 tokens, or a plain MLP for comparison; tokens in the sequence of a dense decoder or a
/// mixture of experts.
///
/// Nothing of MM1 was released, so the layout of its `config.json` is Omma's: `vision_config` as CLIP's or AIM's,
/// `connector`, and `llm_config` as Llama's or Mixtral's.
extension ModelDesign {
    /// Reads `model_type` `mm1`.
    public init(mm1 reader: ConfigurationReader) throws {
        guard let language = try reader.object("llm_config") else { throw reader.failure("llm_config", "is missing") }
        guard let visual = try reader.object("vision_config") else {
            throw reader.failure("vision_config", "is missing")
        }
        guard let connecting = try reader.object("connector") else { throw reader.failure("connector", "is missing") }
        let format = try reader.string("chat_format", default: "chatml")
        guard format == "chatml" else {
            throw reader.failure("chat_format", "is '\(format)'; only chatml is supported")
        }
        let decoder = try DecoderConfiguration(decoder: language)
        self.init(decoder: decoder, decoderPrefix: "language_model", prompt: .chatML(separator: "\n"))

        let (tower, trainedSize) = try Self.mm1Tower(visual)
        let layer = try reader.integer("feature_layer", default: -1, in: -1024 ... -1)
        guard -layer <= tower.layers + 1 else {
            throw reader.failure("feature_layer", "is \(layer), but the tower has \(tower.layers) layers")
        }
        let size = try reader.integer("image_size", default: trainedSize, in: tower.patchSize...16384)
        let side = size / tower.patchSize
        let (connector, tokens) = try Self.mm1Connector(
            connecting, tower: tower, side: trainedSize / tower.patchSize, patches: side * side, decoder: decoder)
        guard tokens <= side * side else {
            throw connecting.failure("tokens", "is \(tokens), more than the \(side * side) patches of a picture")
        }
        vision = VisionDesign(
            towers: [VisionDesign.Tower("vision_tower", TiledTower(tower, featureLayer: layer))],
            connectorPrefix: "connector", connector: connector)
        var tile = TileShape(
            size: size, patchSize: tower.patchSize, features: tokens, normalization: .clip)
        // Each query of attention pooling sees all patches.
        tile.featuresHavePlaces = !(connector is AttentionPool.Configuration)
        let split = try reader.integer("sub_images", default: 1, in: 1...4)
        let fit = try Self.mm1Fit(reader, tile)
        guard split == 1 || fit == .stretch else {
            throw reader.failure("image_fit", "is of single squares; sub_images are cut from a stretched picture")
        }
        imagePolicy = split > 1 ? SubImages(tile, side: split) : FixedSize(tile, fit: fit)
        placement = PicturePlacement(placeholder: try reader.string("image_token", default: "<|image_pad|>"))
        try reader.finish(harmless: ConfigurationReader.bookkeeping)
    }

    /// What becomes of pictures that are no squares; the paper does not say.
    private static func mm1Fit(_ reader: ConfigurationReader, _ tile: TileShape) throws -> FixedResolution.Fit {
        switch try reader.string("image_fit", default: "stretch") {
        case "stretch": return .stretch
        case "center-crop": return .centerCrop
        case "pad":
            // With the mean colour, which the tower sees as nothing.
            let mean = tile.normalization.mean.map { UInt8(($0 * 255).rounded()) }
            return .pad(red: mean[0], green: mean[1], blue: mean[2])
        case let other:
            throw reader.failure("image_fit", "is '\(other)'; supported are center-crop, pad and stretch")
        }
    }

    /// The tower, and the size of the pictures that its positions and the connector's are learned for.
    private static func mm1Tower(
        _ reader: ConfigurationReader
    ) throws -> (tower: VisionTransformerConfiguration, size: Int) {
        switch try reader.string("model_type", default: "clip_vision_model") {
        case "clip_vision_model":
            let size = try reader.integer("image_size", default: 224, in: 1...16384)
            return (try VisionTransformerConfiguration(clip: reader), size)
        case "aim":
            let (tower, size) = try VisionTransformerConfiguration.aim(reader)
            try reader.finish(harmless: ConfigurationReader.bookkeeping)
            return (tower, size)
        case let type:
            throw reader.failure("model_type", "'\(type)' is not supported; supported are aim and clip_vision_model")
        }
    }

    /// - Parameters:
    ///   - side: patches a side of the pictures that the tower's positions are learned for.
    ///   - patches: of a picture as the tower sees it.
    private static func mm1Connector(
        _ reader: ConfigurationReader, tower: VisionTransformerConfiguration, side: Int, patches: Int,
        decoder: DecoderConfiguration
    ) throws -> (connector: any ConnectorConfiguration, tokens: Int) {
        let type = try reader.string("type", default: "c-abstractor")
        let tokens = try reader.integer("tokens", default: type == "mlp" ? patches : 144, in: 1...(1 << 16))
        guard type == "attention-pool" || isSquare(tokens) else {
            throw reader.failure("tokens", "is \(tokens), which is not a square number as \(type) needs")
        }
        let connector: any ConnectorConfiguration
        switch type {
        case "c-abstractor":
            connector = CAbstractor.Configuration(
                inputSize: tower.hiddenSize,
                hiddenSize: try reader.integer("hidden_size", default: 1024, in: 1...(1 << 20)),
                outputSize: decoder.hiddenSize, depth: try reader.integer("depth", default: 3, in: 0...64),
                readoutDepth: try reader.integer("mlp_depth", default: 2, in: 1...64), queries: tokens,
                positionSide: side)
        case "average-pool":
            connector = AveragePool.Configuration(
                side: squareRoot(tokens), inputSize: tower.hiddenSize, outputSize: decoder.hiddenSize)
        case "attention-pool":
            let heads = try reader.integer("heads", default: max(1, decoder.hiddenSize / 64), in: 1...4096)
            guard decoder.hiddenSize.isMultiple(of: heads) else {
                throw reader.failure(
                    "heads", "is \(heads), which does not divide the decoder's width \(decoder.hiddenSize)")
            }
            connector = AttentionPool.Configuration(
                queries: tokens, inputSize: tower.hiddenSize, outputSize: decoder.hiddenSize, heads: heads)
        case "mlp":
            guard tokens == patches else {
                throw reader.failure(
                    "tokens", "is \(tokens); a plain MLP leaves as many as there are patches, \(patches)")
            }
            var plain = PixelShuffleProjector.Configuration(
                inputSize: tower.hiddenSize, outputSize: decoder.hiddenSize, hiddenSize: decoder.hiddenSize)
            (plain.factor, plain.hasNorm) = (1, false)
            connector = plain
        default:
            throw reader.failure(
                "type", "'\(type)' is not supported; supported are attention-pool, average-pool, c-abstractor and mlp")
        }
        try reader.finish(harmless: [])
        return (connector, tokens)
    }
}
