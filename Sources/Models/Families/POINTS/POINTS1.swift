internal import Foundation

/// POINTS 1.0 (`points.md` part A): CATTY's windows through two CLIP towers, whose projected features are averaged.
extension ModelDesign {
    /// Reads `model_type` `points_chat`.
    public init(points1 reader: ConfigurationReader) throws {
        guard let language = try reader.object("llm_config") else { throw reader.failure("llm_config", "is missing") }
        guard let visual = try reader.object("vision_config") else {
            throw reader.failure("vision_config", "is missing")
        }
        let decoder = try Self.pointsDecoder(language)
        let tower = TiledTower(try VisionTransformerConfiguration(clip: visual), featureLayer: -2)
        guard tower.side.isMultiple(of: 2), tower.transformer.layers > 1 else {
            throw reader.failure(
                "vision_config.image_size",
                "gives \(tower.side) patches a side of \(tower.transformer.layers) layers; pixel shuffle needs an even "
                    + "number, and the features are those of the layer before the last")
        }
        try reader.finish(harmless: ConfigurationReader.bookkeeping.union(["hidden_size", "tie_word_embeddings"]))

        self.init(decoder: decoder, decoderPrefix: "llm", prompt: .chatML(separator: "\n"))
        prompt.system = nil
        var connector = PixelShuffleProjector.Configuration(
            inputSize: tower.transformer.hiddenSize, outputSize: decoder.hiddenSize, hiddenSize: decoder.hiddenSize)
        connector.hasNorm = false
        vision = VisionDesign(
            towers: ["general_vit", "ocr_vit"].map { VisionDesign.Tower("\($0).vision_model", tower) },
            connectorPrefix: "vision_projector", connector: connector)
        let patch = tower.transformer.patchSize
        imagePolicy = AspectTiling(
            TileShape(
                size: tower.side * patch, patchSize: patch, features: tower.side / 2 * (tower.side / 2),
                normalization: .clip))
        readPreprocessor = Self.readCLIPNormalization
        // Older files hold a table of the numbers 0, 1, 2, ….
        unusedKeys = { $0.hasSuffix(".embeddings.position_ids") }
        var placement = PicturePlacement(placeholder: "<|image_pad|>")
        placement.comesFirst = true
        placement.allowsSeveral = false
        self.placement = placement
    }

    /// `preprocessor_config.json` of CLIP, whose resizing does nothing to windows that have the tower's size.
    @Sendable private static func readCLIPNormalization(
        _ policy: any ImagePolicy, _ folder: URL
    ) throws -> any ImagePolicy {
        let file = folder.appending(path: "preprocessor_config.json")
        guard var policy = policy as? AspectTiling, FileManager.default.fileExists(atPath: file.path) else {
            return policy
        }
        let resolution = try FixedResolution(ConfigurationReader(contentsOf: file))
        guard resolution.width == policy.tile.size, resolution.height == policy.tile.size else {
            throw ConfigurationError(
                file: file.path, field: "crop_size",
                reason: "is \(resolution.width)×\(resolution.height), but config.json has windows of "
                    + "\(policy.tile.size)")
        }
        policy.tile.normalization = resolution.normalization
        return policy
    }
}
