/// What the kinds of tokenizers have in common.
protocol TokenizerBackend: Sendable {
    var inventory: TokenInventory { get }
    /// What turns tokens into text.
    var decoderStages: [DecoderSpecification] { get }

    /// Encodes well-formed UTF-8.
    ///
    /// - Parameter sources: where the bytes came from; special tokens are found in template text only. `nil`: everywhere.
    func encode(
        _ bytes: [UInt8], sources: SourceMap?, addSpecialTokens: Bool, into sink: inout TokenSink
    ) throws(TokenizerError)
}
