/// The decoders of tokenizer.json, as a list of stages.
enum DecoderSpecification: Sendable {
    case byteLevel
    case byteFallback
    case fuse
    case replace(Pattern, [UInt8])
    case strip(content: [UInt8], start: Int, stop: Int)
    case metaspace(replacement: [UInt8], strips: Bool)
    case suffix([UInt8])
    case wordPiece(prefix: [UInt8], cleanUp: Bool)
    case sentencePiece(SentencePieceDecoding)
    /// Without a decoder the reference puts a space between tokens.
    case joinWithSpaces
    /// `clean_up_tokenization_spaces` of tokenizer_config.json.
    case cleanUp

    static func stages(_ field: JSONField?) throws(TokenizerError) -> [DecoderSpecification] {
        guard let field else { return [.joinWithSpaces] }
        let type = try field.required("type")
        switch try type.string() {
        case "ByteLevel": return [.byteLevel]
        case "ByteFallback": return [.byteFallback]
        case "Fuse": return [.fuse]
        case "Replace": return [.replace(try Pattern(try field.required("pattern")), try field.bytes("content"))]
        case "Strip":
            let content = try field.required("content")
            guard try content.string().unicodeScalars.count == 1 else {
                throw .invalidField(content.path, reason: "expected one character")
            }
            let limit = 1 << 16
            return [
                .strip(
                    content: try content.bytes(), start: try field.required("start").integer(below: limit),
                    stop: try field.required("stop").integer(below: limit))
            ]
        case "Metaspace":
            let replacement = try field.optional("replacement")?.bytes() ?? Array("▁".utf8)
            return [.metaspace(replacement: replacement, strips: try PreTokenizer.prependScheme(field) != .never)]
        case "BPEDecoder": return [.suffix(try field.bytes("suffix"))]
        case "WordPiece":
            return [
                .wordPiece(prefix: try field.bytes("prefix"), cleanUp: try field.bool("cleanup", default: true))
            ]
        case "Sequence":
            var stages: [DecoderSpecification] = []
            for item in try field.required("decoders").items() { stages += try Self.stages(item) }
            return stages
        default: throw type.unsupported
        }
    }
}
