public import NN
public import Torch

/// The text side of a contrastive pair: a transformer over tokens whose last one stands for the whole text (CLIP), in
/// transformers' layout.
public final class TextTower {
    public struct Configuration: Sendable, Hashable {
        public var vocabularySize: Int
        public var hiddenSize: Int
        public var layers: Int
        public var heads: Int
        public var feedForwardSize: Int
        public var maxTokens: Int
        public var activation: Activation
        public var normEpsilon: Double
        /// Whether tokens see only those before them; the last one, which is the text's feature, sees all either way.
        public var isCausal: Bool
        /// Whether a linear layer follows the pooled token (SigLIP).
        public var hasHead: Bool

        public init(
            vocabularySize: Int, hiddenSize: Int, layers: Int, heads: Int, feedForwardSize: Int, maxTokens: Int = 77,
            activation: Activation = .quickGelu, normEpsilon: Double = 1e-5, isCausal: Bool = true,
            hasHead: Bool = false
        ) {
            self.vocabularySize = vocabularySize
            self.hiddenSize = hiddenSize
            self.layers = layers
            self.heads = heads
            self.feedForwardSize = feedForwardSize
            self.maxTokens = maxTokens
            self.activation = activation
            self.normEpsilon = normEpsilon
            self.isCausal = isCausal
            self.hasHead = hasHead
        }
    }

    public let configuration: Configuration
    private let embedding: Embedding
    private let positions: Embedding
    private let blocks: [VisionTransformerBlock]
    private let norm: LayerNorm
    private let head: Linear?

    /// Takes `embeddings.*`, `encoder.layers.*`, `final_layer_norm.*` and, if there is one, `head.*` from the scope.
    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        let size = configuration.hiddenSize, embeddings = scope["embeddings"]
        embedding = try Embedding(configuration.vocabularySize, size, embeddings["token_embedding"])
        positions = try Embedding(
            configuration.maxTokens, size, embeddings["position_embedding"], initialization: .normal(0.01))
        // The block is a vision transformer's; patches and positions of that configuration are not used.
        let block = VisionTransformerConfiguration(
            hiddenSize: size, layers: configuration.layers, heads: configuration.heads,
            feedForwardSize: configuration.feedForwardSize, patchSize: 1, positions: .sinusoidal, keys: .transformers,
            normEpsilon: configuration.normEpsilon, activation: configuration.activation)
        blocks = try (0..<configuration.layers).map {
            try VisionTransformerBlock(block, layer: $0, scope["encoder.layers"][$0])
        }
        norm = try LayerNorm(size, epsilon: configuration.normEpsilon, scope["final_layer_norm"])
        head = configuration.hasHead ? try Linear(size, size, bias: true, scope["head"]) : nil
    }

    /// The features of texts, given as ids that end with the token that stands for the text: `[texts, hidden]`.
    ///
    /// - Throws: `ProcessingError` for an empty text, one that is too long, or an id outside the vocabulary.
    public func callAsFunction(_ texts: [[Int32]]) throws -> Tensor {
        for (number, text) in texts.enumerated() {
            guard !text.isEmpty else { throw ProcessingError.unsupported("text \(number) has no tokens") }
            guard text.count <= configuration.maxTokens else {
                throw ProcessingError.contextLength(tokens: text.count, limit: configuration.maxTokens)
            }
            if let index = text.firstIndex(where: { !(0..<Int32(configuration.vocabularySize) ~= $0) }) {
                throw ProcessingError.tokenOutOfRange(
                    id: Int(text[index]), index: index, vocabulary: configuration.vocabularySize)
            }
        }
        let device = embedding.weight.tensor.device
        let segments = Segments(lengths: texts.map(\.count))
        let places = try Tensor(texts.flatMap { Array($0.indices) }).to(device)
        var hidden = try embedding(Tensor(texts.joined().map(Int.init)).to(device)) + positions(places)
        let layout = VisionLayout(
            segments: segments,
            prefixes: configuration.isCausal ? [Int](repeating: 0, count: texts.count) : nil)
        for block in blocks { hidden = try block(hidden, layout, ForwardContext()) }
        let last = try hidden.indexSelect(0, Tensor(segments.offsets.dropFirst().map { $0 - 1 }).to(device))
        let pooled = try norm(last)
        return try head?(pooled) ?? pooled
    }
}
