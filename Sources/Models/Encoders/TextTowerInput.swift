public import Text

/// Texts as ids for a `TextTower`: the last id is the one that stands for the whole text.
public struct TextTowerInput: Sendable {
    private let tokenizer: Tokenizer
    private let end: Int32
    /// What fills every text up to `maxTokens`; nil where texts keep their lengths.
    private let padding: Int32?
    private let maxTokens: Int

    /// - Parameter isPadded: whether the text tower was trained on texts of full length, as SigLIP's is, whose last
    ///   token stands for the text whether or not it is padding.
    /// - Throws: `ProcessingError.unsupported` for a tokenizer that has no token to end a text with, or more tokens than
    ///   the tower.
    public init(_ tokenizer: Tokenizer, _ tower: TextTower.Configuration, isPadded: Bool) throws {
        guard let end = tokenizer.specialTokens.eos else {
            throw ProcessingError.unsupported("the tokenizer has no eos_token, which stands for a whole text")
        }
        let padding = tokenizer.specialTokens.pad ?? end
        guard max(end, padding) < Int32(clamping: tower.vocabularySize) else {
            throw ProcessingError.unsupported(
                "the tokenizer's eos_token has the id \(end), but the text tower knows \(tower.vocabularySize) tokens")
        }
        self.tokenizer = tokenizer
        self.end = end
        self.padding = isPadded ? padding : nil
        maxTokens = tower.maxTokens
    }

    /// The ids of a text; one that is too long loses its end, as in the references.
    public func ids(_ text: String) throws -> [Int32] {
        var ids = try tokenizer.encode(TaggedText(text, .data(0)), addSpecialTokens: true).map(\.id)
        if ids.last == end { ids.removeLast() }
        ids = Array(ids.prefix(maxTokens - 1)) + [end]
        if let padding { ids += Array(repeating: padding, count: maxTokens - ids.count) }
        return ids
    }
}
