public import NN
public import Torch

/// A model of the family: a vision part that turns pictures into features, and a decoder that reads them.
public final class VisionLanguageModel {
    /// The part that sees; nil in a text model.
    public let vision: (any VisionEncoder)?
    public let decoder: LanguageDecoder
    public let store: ParameterStore

    public init(vision: (any VisionEncoder)?, decoder: LanguageDecoder, store: ParameterStore) {
        self.vision = vision
        self.decoder = decoder
        self.store = store
    }

    /// Hidden states behind the last norm: `[tokens, hidden]`.
    public func hiddenStates(_ input: ModelInput, _ context: ForwardContext = ForwardContext()) throws -> Tensor {
        let device = decoder.embedding.weight.tensor.device
        try checkRange(input)
        var embeddings = try decoder.embedding(input.ids.to(device))
        if !input.items.isEmpty {
            guard let vision else {
                throw ProcessingError.unsupported("this model reads text only; the input has pictures")
            }
            guard let rows = input.visualRows else {
                throw ProcessingError.mediaCount(kind: "picture", given: input.items.count, placed: 0)
            }
            let features = try vision.features(input.items, context)
            try context.observe("vision.merger", features)
            embeddings = try embeddings.indexCopy(0, rows.to(device), features.to(embeddings.dtype))
        }
        try context.observe("inputs_embeds", embeddings)
        return try decoder(embeddings, positions: input.positions, segments: input.segments, context: context)
    }

    /// Scores of the next token, `[rows, vocabulary]`, for hidden states `[rows, hidden]`.
    public func logits(_ hidden: Tensor) throws -> Tensor { try decoder.head(hidden) }

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
