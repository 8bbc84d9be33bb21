public import Text

/// Words from tokens. Ids that no token has are dropped: vocabularies are padded, and a model may choose the padding.
public struct TextStream: Sendable {
    /// All that is certain so far.
    public private(set) var text = ""
    private var detokenizer: StreamingDetokenizer

    public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool) {
        detokenizer = StreamingDetokenizer(tokenizer, skipSpecialTokens: skipSpecialTokens)
    }

    /// The text that is certain now that this token is known.
    @discardableResult
    public mutating func push(_ token: Int32) throws -> String {
        do {
            let piece = try detokenizer.push(token)
            text += piece
            return piece
        } catch TokenizerError.unknownID {
            return ""
        }
    }

    /// What was held back; call it once, at the end.
    @discardableResult
    public mutating func finish() throws -> String {
        let piece = try detokenizer.flush()
        text += piece
        return piece
    }
}
