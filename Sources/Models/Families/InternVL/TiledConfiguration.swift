internal import Foundation
internal import NN

/// What the configurations of InternVL2 and NVLM have in common.
struct TiledConfiguration {
    var decoder: DecoderConfiguration
    var tower: TiledTower
    var shuffle: PixelShuffleProjector.Version
    /// Tokens a side of a tile that become one feature.
    var factor: Int
    var tile: TileShape
    var tiles: ClosedRange<Int>
    var usesThumbnail: Bool
    var template: String

    /// - Parameter maxTiles: where the file does not say.
    init(_ reader: ConfigurationReader, maxTiles: Int, isDynamic: Bool) throws {
        guard let language = try reader.object("llm_config") else { throw reader.failure("llm_config", "is missing") }
        guard let vision = try reader.object("vision_config") else {
            throw reader.failure("vision_config", "is missing")
        }
        decoder = try DecoderConfiguration(decoder: language)
        let layer = try reader.integer("select_layer", default: -1, in: -1024 ... -1)
        tower = TiledTower(try VisionTransformerConfiguration(internViT: vision), featureLayer: layer)
        guard -layer <= tower.transformer.layers + 1 else {
            throw reader.failure("select_layer", "is \(layer), but the tower has \(tower.transformer.layers) layers")
        }
        let version = try reader.string("ps_version", default: "v1")
        guard let shuffle = PixelShuffleProjector.Version(rawValue: version) else {
            throw reader.failure("ps_version", "is '\(version)'; supported are v1 and v2")
        }
        self.shuffle = shuffle
        let ratio = try reader.number("downsample_ratio", default: 0.5)
        guard ratio > 0, ratio <= 1, (1 / ratio).rounded() == 1 / ratio, 1 / ratio <= 16 else {
            throw reader.failure("downsample_ratio", "is \(ratio); one over it must be a whole number up to 16")
        }
        factor = Int(1 / ratio)
        let size = try reader.integer(
            "force_image_size", default: tower.side * tower.transformer.patchSize, in: 1...16384)
        let side = size / tower.transformer.patchSize
        guard size.isMultiple(of: tower.transformer.patchSize), side.isMultiple(of: factor) else {
            throw reader.failure(
                "force_image_size",
                "is \(size), which is not a multiple of \(tower.transformer.patchSize * factor): patch_size over downsample_ratio"
            )
        }
        tile = TileShape(
            size: size, patchSize: tower.transformer.patchSize, features: side / factor * (side / factor),
            normalization: .imageNet)
        let dynamic = try reader.flag("dynamic_image_size", default: isDynamic)
        let least = try reader.integer("min_dynamic_patch", default: 1, in: 1...DynamicTiling.limit)
        let most = try reader.integer("max_dynamic_patch", default: maxTiles, in: 1...DynamicTiling.limit)
        guard least <= most else {
            throw reader.failure("min_dynamic_patch", "is \(least), more than max_dynamic_patch \(most)")
        }
        tiles = dynamic ? least...most : 1...1
        usesThumbnail = try reader.flag("use_thumbnail", default: false)
        template = try reader.string("template", default: "")
        for field in ["use_backbone_lora", "use_llm_lora"] {
            if try reader.integer(field, default: 0, in: 0...(1 << 20)) > 0 {
                throw reader.failure(field, "is not 0; merge the adapters into the weights first")
            }
        }
    }

    /// The fields at the top level that change nothing here.
    static let harmless = ConfigurationReader.bookkeeping.union([
        "hidden_size", "tie_word_embeddings", "image_fold", "_commit_hash", "system_message",
    ])

    /// The image policy; `preprocessor_config.json` has the last word on mean and deviation.
    var imagePolicy: DynamicTiling { DynamicTiling(tile, tiles: tiles, usesThumbnail: usesThumbnail) }

    @Sendable static func readPreprocessor(_ policy: any ImagePolicy, _ folder: URL) throws -> any ImagePolicy {
        let file = folder.appending(path: "preprocessor_config.json")
        guard var policy = policy as? DynamicTiling, FileManager.default.fileExists(atPath: file.path) else {
            return policy
        }
        let reader = try ConfigurationReader(contentsOf: file)
        // Pillow's number for bicubic.
        try reader.require("resample", .number(3))
        for field in ["size", "crop_size"] {
            let size = try reader.integer(field, default: policy.tile.size)
            guard size == policy.tile.size else {
                throw reader.failure(field, "is \(size), but config.json has tiles of \(policy.tile.size)")
            }
        }
        policy.tile.normalization = try PixelNormalization(reader, default: policy.tile.normalization)
        return policy
    }

    /// The vision part under the released names.
    func vision(_ connector: PixelShuffleProjector.Configuration) -> VisionDesign {
        VisionDesign(
            towers: [VisionDesign.Tower("vision_model", tower)], connectorPrefix: "mlp1", connector: connector)
    }

    /// The connector with a hidden layer of this width.
    func connector(hiddenSize: Int?) -> PixelShuffleProjector.Configuration {
        var connector = PixelShuffleProjector.Configuration(
            inputSize: tower.transformer.hiddenSize, outputSize: decoder.hiddenSize, hiddenSize: hiddenSize)
        connector.factor = factor
        connector.version = shuffle
        return connector
    }
}
