public import Foundation
public import NN

/// AIM with its pixel head (El-Nouby et al. 2024). Its `config.json` is Omma's: that of MM1's AIM tower, and the head's
/// numbers.
public struct AutoregressiveDesign: DescribedModel {
    public var tower: VisionTransformerConfiguration
    /// Side of the square pictures, in pixels.
    public var imageSize: Int
    public var headSize: Int
    public var headDepth: Int

    /// Reads `model_type` `aim`.
    public init(_ reader: ConfigurationReader) throws {
        (tower, imageSize) = try VisionTransformerConfiguration.aim(reader)
        headSize = try reader.integer("head_size", default: 2048, in: 1...65536)
        headDepth = try reader.integer("head_depth", default: 12, in: 0...1024)
        guard imageSize / tower.patchSize > 1 else {
            throw reader.failure("image_size", "is \(imageSize), which leaves one patch and nothing to predict")
        }
        try reader.finish(harmless: ConfigurationReader.bookkeeping)
    }

    /// Builds tower and head from the store, and checks that nothing is missing or left.
    public func makeModel(_ store: ParameterStore) throws -> AutoregressiveImageModel {
        let model = try AutoregressiveImageModel(tower, headSize: headSize, headDepth: headDepth, store.root)
        try store.finish()
        return model
    }

    public func makeParameters(_ store: ParameterStore) throws -> DecoderConfiguration? {
        _ = try makeModel(store)
        return nil
    }

    public var towerShapes: [TransformerShape] { [tower.shape()] }
    public var patchesPerTile: Int? { imageSize / tower.patchSize * (imageSize / tower.patchSize) }

    public func part(of parameterName: String) -> ModelPart {
        parameterName.hasPrefix("head.") ? .head : .visionTower
    }

    public func description(of part: ModelPart) -> String? {
        switch part {
        case .visionTower: TiledTower(tower).summary
        case .head: "\(headDepth) blocks of width \(headSize), pixels of a patch"
        default: nil
        }
    }

    /// How pictures become squares: as `preprocessor_config.json` says, or stretched and normalised as in the paper.
    public func resolution(folder: URL) throws -> FixedResolution {
        try FixedResolution(
            folder: folder, size: imageSize,
            default: FixedResolution(width: imageSize, height: imageSize, normalization: .imageNet))
    }
}

extension VisionTransformerConfiguration {
    /// AIM's tower, and the size of its pictures. The caller looks at what is left of the configuration.
    static func aim(_ reader: ConfigurationReader) throws -> (tower: VisionTransformerConfiguration, size: Int) {
        let (width, heads) = try reader.widthAndHeads()
        guard width.isMultiple(of: 4) else {
            throw reader.failure("hidden_size", "is \(width); fixed positions need a multiple of 4")
        }
        let patch = try reader.integer("patch_size", default: 14, in: 1...256)
        let tower = AutoregressiveImageModel.tower(
            hiddenSize: width, layers: try reader.integer("num_hidden_layers", in: 1...1024), heads: heads,
            feedForwardSize: try reader.integer("intermediate_size"), patchSize: patch)
        return (tower, try reader.integer("image_size", default: 224, in: patch...16384))
    }
}
