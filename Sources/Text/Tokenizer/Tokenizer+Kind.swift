extension Tokenizer {
    /// How a tokenizer cuts text into tokens, for reports.
    public enum Kind: String, Sendable, Hashable, Codable {
        case bytePairEncoding = "byte-pair encoding"
        case sentencePiece = "SentencePiece"
    }

    public var kind: Kind { backend is SentencePieceTokenizer ? .sentencePiece : .bytePairEncoding }
}
