/// A piece of decoded text.
struct DecodedPiece {
    var bytes: [UInt8]
    /// Whether the piece belongs to the same token as the one before it, which matters to what looks at the beginnings
    /// and ends of tokens.
    var continues: Bool
}

/// One stage of decoding, which takes tokens one by one and says each thing as soon as nothing that follows can change
/// it. Whole texts are decoded by the same stages, so that streamed text equals whole text.
struct DecoderStage: Sendable {
    private let specification: DecoderSpecification
    private var held: [UInt8] = []
    private var hasStarted = false
    private var tokenIndex = -1
    private var left = 0
    private var pieces: SentencePieceDecoder?

    init(_ specification: DecoderSpecification, skipsSpecial: Bool) {
        self.specification = specification
        if case .sentencePiece(let rules) = specification {
            pieces = SentencePieceDecoder(rules, skipsSpecial: skipsSpecial)
        }
    }

    mutating func push(_ piece: DecodedPiece, _ output: inout [DecodedPiece]) throws(TokenizerError) {
        if !piece.continues || tokenIndex < 0 { tokenIndex += 1 }
        let begins = !piece.continues
        switch specification {
        case .byteLevel:
            held += ByteAlphabet.decode(piece.bytes) ?? piece.bytes
            let complete = held.count - incompleteTail(held)
            emitFused(lossy(held[..<complete]), &output)
            held.removeFirst(complete)
        case .fuse: emitFused(piece.bytes, &output)
        case .byteFallback:
            if let byte = Self.fallbackByte(piece.bytes) {
                held.append(byte)
            } else {
                flushBytes(&output)
                output.append(piece)
            }
        case .replace(let pattern, let content):
            var result: [UInt8] = []
            var index = 0
            for match in try pattern.matches(piece.bytes, 0..<piece.bytes.count) {
                result += piece.bytes[index..<match.lowerBound]
                result += content
                index = match.upperBound
            }
            result += piece.bytes[index...]
            output.append(DecodedPiece(bytes: result, continues: piece.continues))
        case .strip(let content, let start, let stop):
            if begins || !hasStarted {
                finishStrip(&output)
                hasStarted = true
                left = start
                output.append(DecodedPiece(bytes: [], continues: piece.continues))
            }
            strip(piece.bytes, content, stop, &output)
        case .metaspace(let replacement, let strips):
            var result: [UInt8] = []
            var index = 0
            for match in try Pattern.literal(replacement).matches(piece.bytes, 0..<piece.bytes.count) {
                result += piece.bytes[index..<match.lowerBound]
                if tokenIndex > 0 || !strips { result.append(0x20) }
                index = match.upperBound
            }
            result += piece.bytes[index...]
            output.append(DecodedPiece(bytes: result, continues: piece.continues))
        case .suffix(let suffix):
            if begins { try flushSuffix(suffix, isLast: false, &output) }
            hasStarted = true
            held += piece.bytes
        case .wordPiece(let prefix, let cleanUp):
            var result = piece.bytes
            if tokenIndex > 0, begins {
                result = result.starts(with: prefix) ? Array(result.dropFirst(prefix.count)) : [0x20] + result
            }
            output.append(
                DecodedPiece(bytes: cleanUp ? SpaceCleaner.clean(result) : result, continues: piece.continues))
        case .joinWithSpaces:
            output.append(
                DecodedPiece(bytes: tokenIndex > 0 && begins ? [0x20] + piece.bytes : piece.bytes, continues: true))
        case .sentencePiece:
            var bytes: [UInt8] = []
            pieces?.push(piece.bytes, &bytes)
            output.append(DecodedPiece(bytes: bytes, continues: true))
        case .cleanUp:
            held += piece.bytes
            // What follows a character that no rule touches cannot change what stands before it.
            guard let last = held.lastIndex(where: { !SpaceCleaner.touched.contains($0) }) else { return }
            output.append(DecodedPiece(bytes: SpaceCleaner.clean(Array(held[...last])), continues: true))
            held.removeFirst(last + 1)
        }
    }

    /// Nothing follows: says what was held back.
    mutating func finish(_ output: inout [DecodedPiece]) throws(TokenizerError) {
        switch specification {
        case .byteLevel: emitFused(lossy(held[...]), &output)
        case .byteFallback: flushBytes(&output)
        case .sentencePiece:
            var bytes: [UInt8] = []
            pieces?.finish(&bytes)
            output.append(DecodedPiece(bytes: bytes, continues: true))
        case .strip: finishStrip(&output)
        case .suffix(let suffix): try flushSuffix(suffix, isLast: true, &output)
        case .cleanUp: output.append(DecodedPiece(bytes: SpaceCleaner.clean(held), continues: true))
        default: break
        }
        held.removeAll()
    }

    private mutating func emitFused(_ bytes: [UInt8], _ output: inout [DecodedPiece]) {
        if bytes.isEmpty { return }
        output.append(DecodedPiece(bytes: bytes, continues: hasStarted))
        hasStarted = true
    }

    /// `<0x0A>`
    static func fallbackByte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    /// As in the reference, one bad byte spoils all that stand beside it.
    private mutating func flushBytes(_ output: inout [DecodedPiece]) {
        if held.isEmpty { return }
        if String(validating: held, as: UTF8.self) != nil {
            output.append(DecodedPiece(bytes: held, continues: false))
        } else {
            for _ in held { output.append(DecodedPiece(bytes: Array("\u{FFFD}".utf8), continues: false)) }
        }
        held.removeAll()
    }

    private mutating func strip(_ bytes: [UInt8], _ content: [UInt8], _ stop: Int, _ output: inout [DecodedPiece]) {
        var index = 0
        while left > 0, index < bytes.count {
            if bytes[index...].starts(with: content) {
                index += content.count
                left -= 1
            } else {
                left = 0
            }
        }
        let rest = Array(bytes[index...])
        var kept = rest.count
        if stop > 0 {
            while kept >= content.count, rest[..<kept].suffix(content.count).elementsEqual(content) {
                kept -= content.count
            }
        }
        if kept > 0 {
            output.append(DecodedPiece(bytes: held + rest[..<kept], continues: true))
            held.removeAll()
        }
        held += rest[kept...]
    }

    private mutating func finishStrip(_ output: inout [DecodedPiece]) {
        guard case .strip(let content, _, let stop) = specification, hasStarted else { return }
        let count = held.count / max(content.count, 1)
        output.append(DecodedPiece(bytes: Array(held.prefix(max(count - stop, 0) * content.count)), continues: true))
        held.removeAll()
    }

    private mutating func flushSuffix(
        _ suffix: [UInt8], isLast: Bool, _ output: inout [DecodedPiece]
    ) throws(TokenizerError) {
        guard hasStarted else { return }
        var result: [UInt8] = []
        var index = 0
        for match in try Pattern.literal(suffix).matches(held, 0..<held.count) {
            result += held[index..<match.lowerBound]
            if !isLast { result.append(0x20) }
            index = match.upperBound
        }
        result += held[index...]
        output.append(DecodedPiece(bytes: result, continues: false))
        held.removeAll()
    }
}

/// Bytes as text, with U+FFFD for what is not UTF-8.
func lossy(_ bytes: ArraySlice<UInt8>) -> [UInt8] { Array(String(decoding: bytes, as: UTF8.self).utf8) }

/// How many bytes at the end are the beginning of a character whose end is still to come.
func incompleteTail(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
        let tail = bytes[(bytes.count - length)...]
        guard let first = tail.first, first & 0xC0 != 0x80 else { continue }
        let needed = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
        guard first >= 0xC2, first <= 0xF4, length < needed else { return 0 }
        if length > 1, let second = tail.dropFirst().first {
            let isValid =
                switch first {
                case 0xE0: second >= 0xA0
                case 0xED: second < 0xA0
                case 0xF0: second >= 0x90
                case 0xF4: second < 0x90
                default: true
                }
            if !isValid { return 0 }
        }
        return length
    }
    return 0
}

/// `clean_up_tokenization` of Hugging Face transformers.
enum SpaceCleaner {
    private static let rules: [(from: [UInt8], to: [UInt8])] = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

    /// The bytes that stand in a rule.
    static let touched = Set(rules.flatMap(\.from))

    static func clean(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for rule in rules where result.count >= rule.from.count {
            var changed: [UInt8] = []
            var index = 0
            while index < result.count {
                if result[index] == 0x20, result[index...].starts(with: rule.from) {
                    changed += rule.to
                    index += rule.from.count
                } else {
                    changed.append(result[index])
                    index += 1
                }
            }
            result = changed
        }
        return result
    }
}
