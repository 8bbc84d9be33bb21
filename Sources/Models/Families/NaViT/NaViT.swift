public import Media
public import NN
public import Torch

/// NaViT (`navit.md`): an encoder with a classifier and no language model, in vit-pytorch's layout.
///
/// Nothing of NaViT was released, so its `config.json` is vit-pytorch's arguments by their own names, with `model_type`
/// `navit`.
public struct NaViT: DescribedModel {
    public var tower: VisionTransformerConfiguration
    public var classes: Int
    public var normalization = PixelNormalization.siglip

    /// Reads `model_type` `navit`.
    public init(_ reader: ConfigurationReader) throws {
        tower = try VisionTransformerConfiguration(navit: reader)
        classes = try reader.integer("num_classes", in: 1...(1 << 20))
        if case .factorized(let rows, let columns, _) = tower.positions {
            tower.positions = .factorized(
                rows: rows, columns: columns, isFractional: try reader.flag("fractional_positions", default: false))
        }
        try reader.finish(harmless: ConfigurationReader.bookkeeping)
    }

    /// Builds the classifier from the store, and checks that nothing is missing or left.
    public func makeClassifier(_ store: ParameterStore) throws -> NaViTClassifier {
        let model = try NaViTClassifier(tower, classes: classes, store.root)
        try store.finish()
        return model
    }

    public func makeParameters(_ store: ParameterStore) throws -> DecoderConfiguration? {
        _ = try makeClassifier(store)
        return nil
    }

    public var towerShapes: [TransformerShape] { [tower.shape()] }

    public func part(of parameterName: String) -> ModelPart {
        for prefix in ["attn_pool", "mlp_head."] where parameterName.hasPrefix(prefix) { return .head }
        return .visionTower
    }

    public func description(of part: ModelPart) -> String? {
        switch part {
        case .visionTower: TiledTower(tower).summary
        case .head: "attention pooling, \(classes) classes"
        default: nil
        }
    }

    /// The most patches a side of a picture that positions are there for.
    private var longestSide: Int {
        if case .factorized(let rows, let columns, false) = tower.positions { return min(rows, columns) }
        return .max
    }

    /// A picture at a size of about `side²` pixels, its shape kept, normalised: `[3, height, width]` of whole patches.
    ///
    /// - Throws: `ProcessingError.imageSize` where the positions do not reach so far.
    public func pixels(_ image: Image, side: Double) throws -> Tensor {
        let patch = tower.patchSize
        let grid = try ResolutionSampling.grid(
            width: image.width, height: image.height, side: side, patchSize: patch)
        guard max(grid.width, grid.height) <= longestSide else {
            throw ProcessingError.imageSize(
                width: image.width, height: image.height,
                reason: "at a side of \(side) it has \(grid.width)×\(grid.height) patches; there are positions for "
                    + "\(longestSide) a side")
        }
        return try normalization.tensor(
            image.resized(width: grid.width * patch, height: grid.height * patch, filter: .bicubic))
    }
}
