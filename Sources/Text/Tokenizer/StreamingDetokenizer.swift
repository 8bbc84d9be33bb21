/// Turns ids into text while they are generated.
///
/// Each piece is whole characters that no later id can change, and all pieces together are what `Tokenizer.decode` gives
/// for all ids.
public struct StreamingDetokenizer: Sendable {
    private var run: DecoderRun

    public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true) {
        run = tokenizer.decoderRun(skipSpecialTokens: skipSpecialTokens)
    }

    /// The text that is certain now that this id is known; often empty.
    ///
    /// - Throws: `TokenizerError.unknownID` for an id that no token has; the detokenizer goes on as if it had not come.
    public mutating func push(_ id: Int32) throws(TokenizerError) -> String {
        var bytes: [UInt8] = []
        try run.push(id, into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What was held back; call it once, at the end.
    public mutating func flush() throws(TokenizerError) -> String {
        var bytes: [UInt8] = []
        try run.finish(into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
