public import NN
internal import Torch

/// A vision transformer over tiles of one size.
public struct TiledTower: VisionTowerConfiguration, Hashable {
    public var transformer: VisionTransformerConfiguration
    /// Whose features are wanted: -1 is the last block's, -2 the one before it.
    public var featureLayer: Int

    public init(_ transformer: VisionTransformerConfiguration, featureLayer: Int = -1) {
        self.transformer = transformer
        self.featureLayer = featureLayer
    }

    /// Patches a side for which the tower's positions were learned; 0 where they are not learned.
    var side: Int {
        if case .table(let side) = transformer.positions { return side }
        return 0
    }

    public func makeTower(_ scope: ParameterScope) throws -> any VisionTower {
        TransformerOverTiles(
            transformer: try VisionTransformer(transformer, scope), featureLayer: featureLayer)
    }

    public var shape: TransformerShape { transformer.shape(featureLayer: featureLayer) }

    public var summary: String {
        "\(transformer.layers) layers of width \(transformer.hiddenSize), \(transformer.heads) heads"
            + (transformer.paddingHeads > 0 ? " and \(transformer.paddingHeads) of padding" : "")
            + ", patches of \(transformer.patchSize)×\(transformer.patchSize)"
    }
}

private final class TransformerOverTiles: VisionTower {
    private let transformer: VisionTransformer
    private let featureLayer: Int

    init(transformer: VisionTransformer, featureLayer: Int) {
        self.transformer = transformer
        self.featureLayer = featureLayer
    }

    func callAsFunction(_ items: [VisualItem], _ context: ForwardContext) throws -> Tensor {
        for item in items { _ = try item.tileGrid() }
        let pixels = try Tensor.cat(items.map(\.pixels))
        let batch = try PatchBatch(pixels, patchSize: transformer.configuration.patchSize)
        return try transformer(batch, featureLayer: featureLayer, prefixes: nil, context).patchesOnly().stacked()
    }
}
