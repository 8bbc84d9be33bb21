public import Foundation
public import NN

/// A contrastive pair as transformers' `CLIPModel` and `SiglipModel` describe it, in their layout.
public struct ContrastiveDesign: DescribedModel {
    public var kind: ContrastiveEncoder.Kind
    public var vision: VisionTransformerConfiguration
    public var text: TextTower.Configuration
    /// Side of the square pictures that the positions are learned for, in pixels.
    public var imageSize: Int

    /// Reads `model_type` `clip`.
    public init(clip reader: ConfigurationReader) throws {
        let parts = try Self.parts(reader)
        imageSize = try parts.vision.integer("image_size", default: 224, in: 1...16384)
        vision = try VisionTransformerConfiguration(clip: parts.vision)
        text = try TextTower.Configuration(
            parts.text, vocabulary: 49408, size: 512, maxTokens: 77, activation: .quickGelu, epsilon: 1e-5)
        kind = .clip(projectionSize: try reader.integer("projection_dim", default: 512, in: 1...65536))
        try reader.finish(harmless: Self.harmless)
    }

    /// Reads `model_type` `siglip`.
    public init(siglip reader: ConfigurationReader) throws {
        let parts = try Self.parts(reader)
        imageSize = try parts.vision.integer("image_size", default: 224, in: 1...16384)
        vision = try VisionTransformerConfiguration(siglip: parts.vision)
        let width = try parts.text.integer("hidden_size", default: 768, in: 1...65536)
        guard width == vision.hiddenSize else {
            throw parts.text.failure(
                "hidden_size",
                "is \(width), but vision_config.hidden_size is \(vision.hiddenSize); both sides meet without a projection"
            )
        }
        try parts.text.require("projection_size", .number(Double(width)))
        text = try TextTower.Configuration(
            parts.text, vocabulary: 32000, size: 768, maxTokens: 64, activation: .geluTanh, epsilon: 1e-6)
        text.isCausal = false
        text.hasHead = true
        kind = .siglip
        try reader.finish(harmless: Self.harmless)
    }

    private static func parts(
        _ reader: ConfigurationReader
    ) throws -> (vision: ConfigurationReader, text: ConfigurationReader) {
        guard let vision = try reader.object("vision_config") else {
            throw reader.failure("vision_config", "is missing")
        }
        guard let text = try reader.object("text_config") else { throw reader.failure("text_config", "is missing") }
        return (vision, text)
    }

    /// The `_dict` fields are older copies of the two configurations.
    private static let harmless = ConfigurationReader.bookkeeping.union(ConfigurationReader.generation).union([
        "initializer_factor", "logit_scale_init_value", "text_config_dict", "vision_config_dict",
    ])

    /// Builds both towers from the store, and checks that nothing is missing or left.
    public func makeEncoder(_ store: ParameterStore) throws -> ContrastiveEncoder {
        let encoder = try ContrastiveEncoder(kind, vision: vision, text: text, store.root)
        // Older files hold a table of the numbers 0, 1, 2, ….
        try store.finish { $0.hasSuffix(".embeddings.position_ids") }
        return encoder
    }

    public func makeParameters(_ store: ParameterStore) throws -> DecoderConfiguration? {
        _ = try makeEncoder(store)
        return nil
    }

    public var towerShapes: [TransformerShape] { [vision.shape()] }
    public var patchesPerTile: Int? { imageSize / vision.patchSize * (imageSize / vision.patchSize) }

    /// What brings both sides to the same place: projections, pooling, temperature and bias.
    public func part(of parameterName: String) -> ModelPart {
        if parameterName.hasPrefix("vision_model.head.") { return .head }
        if parameterName.hasPrefix("vision_model.") { return .visionTower }
        if parameterName.hasPrefix("text_model.head.") { return .head }
        return parameterName.hasPrefix("text_model.") ? .textTower : .head
    }

    public func description(of part: ModelPart) -> String? {
        switch part {
        case .visionTower: TiledTower(vision).summary
        case .textTower:
            "\(text.layers) layers of width \(text.hiddenSize), \(text.heads) heads, \(text.vocabularySize) tokens"
        case .head:
            if case .clip(let size) = kind { "projections to \(size), softmax" } else { "attention pooling, sigmoid" }
        default: nil
        }
    }

    /// How pictures become squares: as `preprocessor_config.json` says, or as published.
    public func resolution(folder: URL) throws -> FixedResolution {
        let isCLIP = kind != .siglip
        let published = FixedResolution(
            width: imageSize, height: imageSize, fit: isCLIP ? .centerCrop : .stretch,
            normalization: isCLIP ? .clip : .siglip)
        return try FixedResolution(folder: folder, size: imageSize, default: published)
    }
}

extension FixedResolution {
    /// Reads the folder's `preprocessor_config.json`, whose size must be that of the model's pictures.
    ///
    /// - Parameter published: where there is no such file.
    init(folder: URL, size: Int, default published: FixedResolution) throws {
        let file = folder.appending(path: "preprocessor_config.json")
        guard FileManager.default.fileExists(atPath: file.path) else {
            self = published
            return
        }
        let read = try FixedResolution(ConfigurationReader(contentsOf: file))
        guard read.width == size, read.height == size else {
            throw ConfigurationError(
                file: file.path, field: "size",
                reason: "is \(read.width)×\(read.height), but config.json has pictures of \(size)×\(size)")
        }
        self = read
    }
}

extension TextTower.Configuration {
    /// Reads a `text_config`; what the file lacks is as transformers has it.
    init(
        _ reader: ConfigurationReader, vocabulary: Int, size: Int, maxTokens: Int, activation: Activation,
        epsilon: Double
    ) throws {
        let (width, heads) = try reader.widthAndHeads(default: size, heads: size / 64)
        self.init(
            vocabularySize: try reader.integer("vocab_size", default: vocabulary, in: 1...(1 << 24)),
            hiddenSize: width, layers: try reader.integer("num_hidden_layers", default: 12, in: 1...1024),
            heads: heads, feedForwardSize: try reader.integer("intermediate_size", default: size * 4),
            maxTokens: try reader.integer("max_position_embeddings", default: maxTokens, in: 1...(1 << 20)),
            activation: try reader.activation("hidden_act", default: activation),
            normEpsilon: try reader.number("layer_norm_eps", default: epsilon))
        try reader.finish(
            harmless: ConfigurationReader.bookkeeping.union(ConfigurationReader.generation).union([
                "projection_dim", "dropout", "initializer_factor",
            ]))
    }
}
