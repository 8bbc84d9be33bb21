internal import NN

/// What the costs of a stack of transformer blocks depend on: operations, and what training keeps for the backward pass.
public struct TransformerShape: Sendable, Hashable {
    /// Blocks that are run; a tower may have further ones whose features nobody wants.
    public var layers: Int
    public var hiddenSize: Int
    /// Width of all query heads, and of all key heads.
    public var queryWidth: Int
    public var keyWidth: Int
    public var heads: Int
    public var feedForwardSize: Int
    /// Whether the feed-forward part multiplies two branches.
    public var isGated: Bool
    /// Whether queries and keys are normed.
    public var hasQueryKeyNorm = false
    /// Whether each branch has a learned factor.
    public var hasLayerScale = false
    /// Whether queries and keys are rotated by position.
    public var isRotary = false
    /// Tokens of a segment that are no patches: the class token.
    public var extraTokens = 0
    /// Elements of a patch.
    public var patchLength = 0
}

extension DecoderConfiguration {
    /// The shape of the decoder's layers; experts count as a single one.
    public var shape: TransformerShape {
        TransformerShape(
            layers: layers, hiddenSize: hiddenSize, queryWidth: heads * headSize, keyWidth: keyValueHeads * headSize,
            heads: heads, feedForwardSize: feedForwardSize, isGated: true, isRotary: true)
    }
}

extension VisionTransformerConfiguration {
    /// - Parameter featureLayer: as in `TiledTower`.
    public func shape(featureLayer: Int = -1) -> TransformerShape {
        TransformerShape(
            layers: featureLayer < 0 ? layers + 1 + featureLayer : featureLayer, hiddenSize: hiddenSize,
            queryWidth: attentionSize, keyWidth: attentionSize, heads: heads + paddingHeads,
            feedForwardSize: feedForwardSize, isGated: false, hasQueryKeyNorm: queryKeyNorm != nil,
            hasLayerScale: layerScale != nil, extraTokens: hasClassToken ? 1 : 0, patchLength: patchLength)
    }
}
