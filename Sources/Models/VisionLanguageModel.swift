public import NN
public import Torch

/// A model of the family: a vision part that turns pictures into features, and a decoder that reads them.
public final class VisionLanguageModel {
    /// The part that sees; nil in a text model.
    public let vision: (any VisionEncoder)?
    public let decoder: LanguageDecoder
    public let store: ParameterStore
    /// The part of the model that a parameter belongs to, by its name.
    public let part: (String) -> ModelPart

    public init(
        vision: (any VisionEncoder)?, decoder: LanguageDecoder, store: ParameterStore,
        part: @escaping (String) -> ModelPart
    ) {
        self.vision = vision
        self.decoder = decoder
        self.store = store
        self.part = part
    }

    /// Hidden states behind the last norm: `[tokens, hidden]`.
    public func hiddenStates(_ input: ModelInput, _ context: ForwardContext = ForwardContext()) throws -> Tensor {
        try checkRange(input)
        var features: Tensor?
        if !input.items.isEmpty {
            guard let vision else {
                throw ProcessingError.unsupported("this model reads text only; the input has pictures")
            }
            let made = try vision.features(input.items, context)
            try context.observe("vision.features", made)
            features = made
        }
        let embedded = try embed(input, features: features)
        try context.observe("inputs_embeds", embedded.tokens)
        if let columns = embedded.columns { try context.observe("cross_attention_columns", columns) }
        let tokens = try context.unseen.map { try embedded.tokens + $0.to(embedded.tokens.dtype) } ?? embedded.tokens
        return try decoder(tokens, input, memory: embedded.columns, context: context)
    }

    /// What the decoder reads: `[tokens, hidden]` and, where the input has them, columns of gated cross-attention,
    /// `[columns, hidden]`.
    ///
    /// - Parameter features: those of all items of the input, one item after another.
    public func embed(_ input: ModelInput, features: Tensor?) throws -> (tokens: Tensor, columns: Tensor?) {
        let device = decoder.embedding.weight.tensor.device
        let words = try decoder.embedding(input.ids.to(device))
        guard !input.items.isEmpty else { return (words, nil) }
        let expected = input.items.reduce(0) { $0 + $1.featureCount }
        guard let features, features.size(0) == expected else {
            throw ProcessingError.tokenCount(item: 0, expected: features?.size(0) ?? 0, found: expected)
        }
        let seen = try features.to(words.dtype), columns = try input.memory.map { try self.columns($0, seen) }
        guard let rows = input.visualRows else { return (words, columns) }
        let placed = try input.visualFeatures.map { try seen.indexSelect(0, $0.to(device)) } ?? seen
        return (try words.indexCopy(0, rows.to(device), placed), columns)
    }

    /// What gated cross-attention sees, `[columns, hidden]`: features and, for tags, embeddings of their words.
    private func columns(_ memory: VisualMemory, _ features: Tensor) throws -> Tensor {
        let device = features.device
        let all = try memory.tagIDs.map { try Tensor.cat([features, decoder.embedding($0.to(device))]) } ?? features
        return try all.indexSelect(0, memory.order.to(device))
    }

    /// Scores of the next token, `[rows, vocabulary]`, for hidden states `[rows, hidden]`. Where ranks divide the vocabulary,
    /// all of them must ask, and get scores without a way back for gradients.
    public func logits(_ hidden: Tensor) throws -> Tensor {
        let scores = try decoder.head(hidden)
        guard let group = decoder.vocabularyPart?.group else { return scores }
        return try withoutGradient {
            let (rows, part) = (scores.size(0), scores.size(1))
            let all = try Tensor.empty([group.size, rows, part], dtype: scores.dtype, device: scores.device)
            try group.allGather(scores.detach().contiguous(), into: all, for: "gathering scores")
            return try all.permute(1, 0, 2).reshape(rows, group.size * part)
        }
    }

    private func checkRange(_ input: ModelInput) throws {
        let vocabulary = decoder.configuration.vocabularySize
        guard input.ids.device == .cpu, input.ids.count > 0 else { return }
        let low = try input.ids.amin().item(), high = try input.ids.amax().item()
        if low >= 0 && high < Double(vocabulary) { return }
        let ids = try input.ids.integers()
        if let index = ids.firstIndex(where: { $0 < 0 || $0 >= vocabulary }) {
            throw ProcessingError.tokenOutOfRange(id: ids[index], index: index, vocabulary: vocabulary)
        }
    }
}

/// The part of a model that turns pictures into features for its decoder.
public protocol VisionEncoder: AnyObject {
    /// `[tokens of all items, decoder's hidden size]`, items one after another.
    func features(_ items: [VisualItem], _ context: ForwardContext) throws -> Tensor
}
