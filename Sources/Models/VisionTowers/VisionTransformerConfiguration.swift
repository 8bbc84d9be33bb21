public import NN

/// A plain vision transformer's numbers: CLIP, SigLIP, InternViT, Qwen-VL's ViT, NaViT and AIM are choices of these.
public struct VisionTransformerConfiguration: Sendable, Hashable {
    /// What stands between a patch's pixels and its embedding.
    public enum PatchEmbedding: Sendable, Hashable {
        /// A convolution whose kernel is its stride.
        case convolution(bias: Bool)
        /// Layer norm, a linear layer with bias, layer norm (vit-pytorch's NaViT).
        case normalized
    }

    /// How patches know their places.
    public enum Positions: Sendable, Hashable {
        /// A learned vector for each place of a square grid (and the class token), resized to a picture's own grid by
        /// bicubic interpolation.
        case table(side: Int)
        /// The sum of a learned vector for the row and one for the column (NaViT, section 2.2). Fractional ones place a
        /// patch by its share of the side, so that any size has positions; absolute ones by its index.
        case factorized(rows: Int, columns: Int, isFractional: Bool)
        /// Fixed sines and cosines of column and row (AIM).
        case sinusoidal
    }

    public enum Norm: Sendable, Hashable {
        case layer
        case rms
        /// Layer norm that learns a scale only; the bias is a constant zero that checkpoints hold nevertheless.
        case scaleOnlyLayer
    }

    /// What queries and keys go through before they meet.
    public enum QueryKeyNorm: Sendable, Hashable {
        /// RMS norm over all real heads together (InternViT-6B).
        case acrossHeads
        /// Each head by itself, and no division by the root of the head's size (vit-pytorch's NaViT).
        case unitHeads
        /// Layer norm of each head with a scale and no bias (ViT-22B, equation 1).
        case layerPerHead
    }

    /// Where the norm behind the last block acts.
    public enum FinalNorm: Sendable, Hashable {
        case none
        /// On the class token alone, which is the pooled feature (CLIP).
        case classToken
        case allTokens
    }

    public var hiddenSize: Int
    public var layers: Int
    public var heads: Int
    /// Heads beyond the real ones that a checkpoint carries as padding (7 in NVLM's InternViT-6B).
    public var paddingHeads: Int
    public var headSize: Int
    public var feedForwardSize: Int
    public var patchSize: Int
    public var channels: Int
    public var patchEmbedding: PatchEmbedding
    public var positions: Positions
    public var hasClassToken: Bool
    /// Whether a norm follows the embeddings, before the first block.
    public var hasEmbeddingNorm: Bool
    public var norm: Norm
    public var normEpsilon: Double
    public var finalNorm: FinalNorm
    public var hasAttentionBias: Bool
    public var hasOutputBias: Bool
    public var queryKeyNorm: QueryKeyNorm?
    /// The start of the factors on each block's two branches; nil where there are none.
    public var layerScale: Double?
    public var activation: Activation
    public var keys: VisionTransformerKeys

    public init(
        hiddenSize: Int, layers: Int, heads: Int, feedForwardSize: Int, patchSize: Int, positions: Positions,
        keys: VisionTransformerKeys, paddingHeads: Int = 0, headSize: Int? = nil, channels: Int = 3,
        patchEmbedding: PatchEmbedding = .convolution(bias: true), hasClassToken: Bool = false,
        hasEmbeddingNorm: Bool = false, norm: Norm = .layer, normEpsilon: Double = 1e-6,
        finalNorm: FinalNorm = .none, hasAttentionBias: Bool = true, hasOutputBias: Bool = true,
        queryKeyNorm: QueryKeyNorm? = nil, layerScale: Double? = nil, activation: Activation = .gelu
    ) {
        self.hiddenSize = hiddenSize
        self.layers = layers
        self.heads = heads
        self.paddingHeads = paddingHeads
        self.headSize = headSize ?? hiddenSize / heads
        self.feedForwardSize = feedForwardSize
        self.patchSize = patchSize
        self.channels = channels
        self.patchEmbedding = patchEmbedding
        self.positions = positions
        self.hasClassToken = hasClassToken
        self.hasEmbeddingNorm = hasEmbeddingNorm
        self.norm = norm
        self.normEpsilon = normEpsilon
        self.finalNorm = finalNorm
        self.hasAttentionBias = hasAttentionBias
        self.hasOutputBias = hasOutputBias
        self.queryKeyNorm = queryKeyNorm
        self.layerScale = layerScale
        self.activation = activation
        self.keys = keys
    }

    /// The elements of a patch.
    public var patchLength: Int { channels * patchSize * patchSize }
    /// The width of all heads together, padding included.
    public var attentionSize: Int { (heads + paddingHeads) * headSize }
}
