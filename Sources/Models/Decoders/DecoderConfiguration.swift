public import NN

/// A causal language model's numbers. Every decoder of the family is one choice of these.
public struct DecoderConfiguration: Sendable, Hashable {
    /// How positions turn queries and keys.
    public enum Positions: Sendable, Hashable {
        /// One position per token.
        case rope
        /// Three positions per token; the frequencies are dealt out to them in runs of these lengths (Qwen2-VL 2.1).
        case multimodal(sections: [Int])
    }

    public var vocabularySize: Int
    public var hiddenSize: Int
    public var feedForwardSize: Int
    public var layers: Int
    public var heads: Int
    public var keyValueHeads: Int
    public var headSize: Int
    public var normEpsilon: Double
    public var ropeBase: Double
    public var positions: Positions
    public var rotaryScaling = RotaryScaling.none
    public var activation: Activation
    /// Whether the query, key and value projections have a bias.
    public var hasAttentionBias: Bool
    /// Whether the projection behind attention has a bias.
    public var hasAttentionOutputBias = false
    /// Whether the output head is the embedding.
    public var hasTiedHead: Bool
    public var maxPositions: Int
    public var initializerRange: Double
    public var naming = DecoderNaming.llama
    /// The length of pre-training beyond which queries are scaled by a logarithm (Qwen-1's log-n attention); nil for none.
    public var logarithmicAttention: Int?
    /// Experts in place of the feed-forward part; nil in a dense decoder.
    public var experts: MixtureOfExperts.Configuration?
    /// The distance of the layers with experts, whose groups end with one.
    public var expertsEvery = 1
    /// The distance of the layers with gated cross-attention, whose groups end with one; nil for none.
    public var crossAttentionEvery: Int?

    public init(
        vocabularySize: Int, hiddenSize: Int, feedForwardSize: Int, layers: Int, heads: Int, keyValueHeads: Int,
        headSize: Int? = nil, normEpsilon: Double = 1e-6, ropeBase: Double = 1e6, positions: Positions = .rope,
        activation: Activation = .silu, hasAttentionBias: Bool = true, hasTiedHead: Bool = false,
        maxPositions: Int = 32768, initializerRange: Double = 0.02
    ) {
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.feedForwardSize = feedForwardSize
        self.layers = layers
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headSize = headSize ?? hiddenSize / heads
        self.normEpsilon = normEpsilon
        self.ropeBase = ropeBase
        self.positions = positions
        self.activation = activation
        self.hasAttentionBias = hasAttentionBias
        self.hasTiedHead = hasTiedHead
        self.maxPositions = maxPositions
        self.initializerRange = initializerRange
    }

    /// Whether layer `index` has gated cross-attention.
    public func hasCrossAttention(_ index: Int) -> Bool {
        crossAttentionEvery.map { (index + 1).isMultiple(of: $0) } ?? false
    }

    /// Whether layer `index` has experts.
    public func hasExperts(_ index: Int) -> Bool { experts != nil && (index + 1).isMultiple(of: expertsEvery) }

    /// Tokens that a sequence may have: frequencies that grow with the length go beyond those of pre-training.
    public var contextLength: Int {
        if case .dynamic(let factor, let trained) = rotaryScaling {
            return max(maxPositions, Int(factor * Double(trained)))
        }
        return maxPositions
    }
}
