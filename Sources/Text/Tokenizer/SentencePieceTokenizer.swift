/// A SentencePiece model, alone or with the rules of InternLM2's own tokenizer (`tokenization_internlm2.py`).
final class SentencePieceTokenizer: TokenizerBackend {
    let inventory: TokenInventory
    let decoderStages: [DecoderSpecification]
    private let model: SentencePieceModel
    private let matcher: AddedTokenMatcher
    private let before: [Int32]
    private let after: [Int32]

    init(_ bytes: [UInt8], file: String, configuration: TokenizerConfiguration) throws(TokenizerError) {
        let model = try SentencePieceModel(bytes, file: file)
        self.model = model
        guard model.count <= Vocabulary.limit else {
            throw .malformed(file: file, reason: "it has more than \(Vocabulary.limit) pieces")
        }
        var vocabulary = Vocabulary(minimumCapacity: model.count)
        for id in 0..<model.count { vocabulary.insert(model.piece(id), Int32(id)) }

        let isPlain = configuration.tokenizerClass == nil
        if !isPlain, configuration.tokenizerClass != "InternLM2Tokenizer" {
            throw .unsupported(
                field: "tokenizer_config.json tokenizer_class", value: configuration.tokenizerClass ?? "null")
        }
        // The slow tokenizers of transformers take for special what has a name, whatever its flag says.
        let special = Set(configuration.special.map(\.content))
        var added: [AddedToken] = []
        var known: Set<[UInt8]> = []
        for token in configuration.addedTokens + configuration.special
        where known.insert(token.content).inserted {
            var token = token
            if token.id < 0 { token.id = vocabulary.id(token.content) ?? (added.map(\.id).max() ?? 0) + 1 }
            if token.id < 0 || token.id < model.count && vocabulary.id(token.content) != token.id {
                throw .invalidField(
                    "added_tokens_decoder",
                    reason: "\(String(decoding: token.content, as: UTF8.self)) has the id of another token")
            }
            token.special = special.contains(token.content)
            added.append(token)
        }
        inventory = TokenInventory(vocabulary: vocabulary, added: added)
        matcher = AddedTokenMatcher(added, keys: added.map(\.content))
        let adds = (beginning: configuration.addsBeginning ?? !isPlain, end: configuration.addsEnd ?? false)
        before = adds.beginning ? model.bos.map { [$0] } ?? [] : []
        after = adds.end ? model.eos.map { [$0] } ?? [] : []
        let separate = Set(
            added.filter { !special.contains($0.content) || $0.id >= Int32(model.count) }.map(\.content))
        decoderStages = [.sentencePiece(SentencePieceDecoding(model, isPlain: isPlain, special, separate: separate))]
    }

    func encode(
        _ bytes: [UInt8], sources: SourceMap?, addSpecialTokens: Bool, into sink: inout TokenSink
    ) throws(TokenizerError) {
        let allowed = sources.map { map in
            { (range: Range<Int>) in range.allSatisfy { map.isTemplate(Int32(truncatingIfNeeded: $0)) } }
        }
        if addSpecialTokens { for id in before { sink.append(id, origin: -1) } }
        var index = 0
        for match in matcher.matches(bytes, 0..<bytes.count, allowed: allowed) {
            try encode(bytes[index..<match.range.lowerBound], into: &sink)
            sink.append(match.id, origin: Int32(truncatingIfNeeded: match.start))
            index = match.range.upperBound
        }
        try encode(bytes[index...], into: &sink)
        if addSpecialTokens { for id in after { sink.append(id, origin: -1) } }
    }

    private func encode(_ bytes: ArraySlice<UInt8>, into sink: inout TokenSink) throws(TokenizerError) {
        if bytes.isEmpty { return }
        for token in try model.encode(Array(bytes)) {
            // A piece for the space that is put in front begins at the first byte.
            sink.append(
                token.id, origin: Int32(truncatingIfNeeded: bytes.startIndex + min(token.begin, bytes.count - 1)))
        }
    }
}

/// What decoding needs to know of a SentencePiece model.
struct SentencePieceDecoding: Sendable {
    let isPlain: Bool
    let dropsFirstSpace: Bool
    let dropsFirstSpaces: Bool
    /// Special tokens that stand inside the text.
    let special: Set<[UInt8]>
    /// Added tokens that stand by themselves, with spaces around.
    let separate: Set<[UInt8]>
    private(set) var bytes: [[UInt8]: UInt8] = [:]
    private(set) var hidden: Set<[UInt8]> = []
    private(set) var unknown: Set<[UInt8]> = []

    init(_ model: SentencePieceModel, isPlain: Bool, _ special: Set<[UInt8]>, separate: Set<[UInt8]>) {
        self.isPlain = isPlain
        self.special = special.subtracting(separate)
        self.separate = separate
        dropsFirstSpace = model.dropsFirstSpace
        dropsFirstSpaces = model.dropsFirstSpaces
        for id in 0..<model.count {
            switch model.kind(id) {
            case .byte: bytes[model.piece(id)] = DecoderStage.fallbackByte(model.piece(id))
            case .control: hidden.insert(model.piece(id))
            case .unknown: unknown.insert(model.piece(id))
            case .normal, .unused: break
            }
        }
    }
}

/// Decodes as SentencePiece does and, unless `isPlain`, as `InternLM2Tokenizer` does around it.
///
/// That tokenizer puts a space before a text that a special token such as `</s>` ends, which can be known only then; such
/// text is held back. Where special tokens are skipped, all is said as soon as it is certain.
struct SentencePieceDecoder: Sendable {
    private let rules: SentencePieceDecoding
    /// Whether a token that belongs to `special` may come.
    private var pendingBytes: [UInt8] = []
    private var expectsFirstSpace = true
    private var hasSegmentText = false
    private var segment: [UInt8] = []
    private var afterSpecial = false
    private var uncleaned: [UInt8] = []
    private var hasGroup = false
    private var hasGroupText = false
    private var hasOutput = false
    private let holdsSegments: Bool

    init(_ rules: SentencePieceDecoding, skipsSpecial: Bool) {
        self.rules = rules
        holdsSegments = !skipsSpecial && !rules.special.isEmpty
    }

    mutating func push(_ token: [UInt8], _ output: inout [UInt8]) {
        if rules.separate.contains(token) {
            endGroup(&output)
            if hasOutput { output.append(0x20) }
            output += token
            hasOutput = true
            return
        }
        hasGroup = true
        if rules.special.contains(token) {
            flushBytes()
            if !afterSpecial { uncleaned.append(0x20) }
            uncleaned += segment + token
            resetSegment()
            afterSpecial = true
        } else {
            afterSpecial = false
            piece(token)
            if !holdsSegments {
                uncleaned += segment
                segment.removeAll()
            }
        }
        emit(isLast: false, &output)
    }

    mutating func finish(_ output: inout [UInt8]) {
        let joinsNothing = hasGroup && hasOutput
        endGroup(&output)
        // A group of no text still gets the space that joins it to what stands before.
        if joinsNothing, !endedWithText { output.append(0x20) }
    }

    private var endedWithText = false

    /// `SentencePieceProcessor::Decode`.
    private mutating func piece(_ token: [UInt8]) {
        if let byte = rules.bytes[token] {
            pendingBytes.append(byte)
            return
        }
        flushBytes()
        if hasSegmentText { expectsFirstSpace = false }
        if rules.hidden.contains(token) { return }
        if rules.unknown.contains(token) {
            segment += Array(" \u{2047} ".utf8)
            hasSegmentText = true
            return
        }
        let space = Array("▁".utf8)
        var text = token[...]
        if expectsFirstSpace, rules.dropsFirstSpace, text.starts(with: space) {
            text = text.dropFirst(space.count)
            if !rules.dropsFirstSpaces { expectsFirstSpace = false }
        }
        while !text.isEmpty {
            if text.starts(with: space) {
                segment.append(0x20)
                text = text.dropFirst(space.count)
            } else if let byte = text.popFirst() {
                segment.append(byte)
            }
            hasSegmentText = true
        }
    }

    /// Bytes become characters where they are UTF-8, and U+FFFD one by one where not.
    private mutating func flushBytes() {
        var rest = pendingBytes[...]
        while let first = rest.first {
            let length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
            if String(validating: rest.prefix(length), as: UTF8.self) != nil {
                segment += rest.prefix(length)
                rest = rest.dropFirst(length)
            } else {
                segment += Array("\u{FFFD}".utf8)
                rest = rest.dropFirst()
            }
            hasSegmentText = true
        }
        pendingBytes.removeAll()
    }

    private mutating func resetSegment() {
        segment.removeAll()
        expectsFirstSpace = true
        hasSegmentText = false
    }

    private mutating func endGroup(_ output: inout [UInt8]) {
        flushBytes()
        uncleaned += segment
        resetSegment()
        emit(isLast: true, &output)
        endedWithText = hasGroupText
        if hasGroupText { hasOutput = true }
        hasGroup = false
        hasGroupText = false
        afterSpecial = false
    }

    private mutating func emit(isLast: Bool, _ output: inout [UInt8]) {
        var ready = uncleaned.count
        if !rules.isPlain, !isLast {
            ready = (uncleaned.lastIndex { !SpaceCleaner.touched.contains($0) } ?? -1) + 1
        }
        let piece = Array(uncleaned[..<ready])
        uncleaned.removeFirst(ready)
        let text = rules.isPlain ? piece : SpaceCleaner.clean(piece)
        if text.isEmpty { return }
        if !hasGroupText, hasOutput { output.append(0x20) }
        hasGroupText = true
        output += text
    }
}
