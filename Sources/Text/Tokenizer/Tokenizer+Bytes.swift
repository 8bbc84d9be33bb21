extension Tokenizer {
    /// The bytes that a token adds to a text, whatever stands beside it. Nil for special tokens, for ids that no token
    /// has, and in tokenizers whose tokens have no bytes of their own (SentencePiece drops and adds spaces).
    public func bytes(of id: Int32) -> [UInt8]? {
        guard let token = backend.inventory.token(id), !isSpecial(id), backend.decoderStages.count == 1,
            case .byteLevel = backend.decoderStages[0]
        else { return nil }
        return ByteAlphabet.decode(token) ?? token
    }
}
