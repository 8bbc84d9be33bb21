import Synchronization

/// The pipeline of tokenizer.json: added tokens, normaliser, pre-tokenizer, model, post-processor, decoder.
final class JSONTokenizer: TokenizerBackend {
    let inventory: TokenInventory
    let decoderStages: [DecoderSpecification]

    private let normalizer: Normalizer?
    private let preTokenizer: PreTokenizer
    private let scanner: WordScanner?
    private let postProcessor: PostProcessor
    private let model: BPEModel
    private let takesBytes: Bool
    private let rawMatcher: AddedTokenMatcher
    private let normalMatcher: AddedTokenMatcher
    /// What one call learns about words serves the next. Two calls at once never share: the second starts afresh.
    private let memory = Mutex<WordMemory?>(nil)

    init(_ parts: JSONTokenizerParts) throws(TokenizerError) {
        normalizer = parts.normalizer
        preTokenizer = parts.preTokenizer
        postProcessor = parts.postProcessor
        decoderStages = parts.decoderStages
        if parts.preTokenizer.endsInBytes, let overBytes = parts.model.overBytes() {
            model = overBytes
            takesBytes = true
        } else {
            model = parts.model
            takesBytes = false
        }
        scanner = takesBytes ? parts.preTokenizer.scanner : nil
        inventory = TokenInventory(vocabulary: parts.model.vocabulary, added: parts.addedTokens)
        let raw = parts.addedTokens.filter { !$0.normalized }
        rawMatcher = AddedTokenMatcher(raw, keys: raw.map(\.content))
        let normal = parts.addedTokens.filter(\.normalized)
        var keys: [[UInt8]] = []
        for token in normal {
            var text = OriginText(bytes: token.content, origins: nil)
            try parts.normalizer?.apply(&text)
            keys.append(text.bytes)
        }
        normalMatcher = AddedTokenMatcher(normal, keys: keys)
    }

    func encode(
        _ bytes: [UInt8], sources: SourceMap?, addSpecialTokens: Bool, into sink: inout TokenSink
    ) throws(TokenizerError) {
        var memory = memory.withLock { stored in
            let taken = stored
            stored = nil
            return taken ?? WordMemory()
        }
        for part in addSpecialTokens ? postProcessor.parts : [.text] {
            switch part {
            case .ids(let ids): for id in ids { sink.append(id, origin: -1) }
            case .text: try encodeText(bytes, sources, &memory, &sink)
            }
        }
        self.memory.withLock { [memory] in $0 = memory }
    }

    private func encodeText(
        _ bytes: [UInt8], _ sources: SourceMap?, _ memory: inout WordMemory, _ sink: inout TokenSink
    ) throws(TokenizerError) {
        let text = OriginText(bytes: bytes, origins: nil)
        let allowed = sources.map { map in
            { (range: Range<Int>) in range.allSatisfy { map.isTemplate(Int32(truncatingIfNeeded: $0)) } }
        }
        var index = 0
        for match in rawMatcher.matches(bytes, 0..<bytes.count, allowed: allowed) {
            try encodeSegment(text, index..<match.range.lowerBound, sources, &memory, &sink)
            sink.append(match.id, origin: Int32(truncatingIfNeeded: match.start))
            index = match.range.upperBound
        }
        try encodeSegment(text, index..<bytes.count, sources, &memory, &sink)
    }

    /// Encodes what stands between two added tokens.
    private func encodeSegment(
        _ text: OriginText, _ range: Range<Int>, _ sources: SourceMap?, _ memory: inout WordMemory,
        _ sink: inout TokenSink
    ) throws(TokenizerError) {
        if range.isEmpty { return }
        let isFirst = range.lowerBound == 0
        var normal = text
        var inside = range
        if let normalizer, !normalizer.leaves(text.bytes, range) {
            normal = text.slice(range, tracked: sink.tracked)
            try normalizer.apply(&normal)
            inside = 0..<normal.bytes.count
        }
        var index = inside.lowerBound
        if !normalMatcher.isEmpty {
            let allowed = sources.map { map in
                { (range: Range<Int>) in range.allSatisfy { map.isTemplate(normal.origin($0)) } }
            }
            for match in normalMatcher.matches(normal.bytes, inside, allowed: allowed) {
                let starts = isFirst && index == inside.lowerBound
                try encodeChunk(normal, index..<match.range.lowerBound, starts, &memory, &sink)
                sink.append(match.id, origin: normal.origin(match.start))
                index = match.range.upperBound
            }
        }
        try encodeChunk(normal, index..<inside.upperBound, isFirst && index == inside.lowerBound, &memory, &sink)
    }

    private func encodeChunk(
        _ text: OriginText, _ range: Range<Int>, _ isFirst: Bool, _ memory: inout WordMemory, _ sink: inout TokenSink
    ) throws(TokenizerError) {
        if range.isEmpty { return }
        if let scanner {
            let table = UnicodeClass.table
            var index = range.lowerBound
            while index < range.upperBound {
                let end = scanner.wordEnd(text.bytes, table, from: index, to: range.upperBound)
                try encodeWord(text, index..<end, &memory, &sink)
                index = end
            }
        } else if preTokenizer.steps.isEmpty {
            try encodeWord(text, range, &memory, &sink)
        } else {
            var cut = PreTokenizedText(
                text: text.slice(range, tracked: sink.tracked), words: [0..<range.count], isFirst: isFirst)
            try preTokenizer.apply(&cut, rawBytes: takesBytes)
            for word in cut.words { try encodeWord(cut.text, word, &memory, &sink) }
        }
    }

    @inline(__always)
    private func encodeWord(
        _ text: OriginText, _ word: Range<Int>, _ memory: inout WordMemory, _ sink: inout TokenSink
    ) throws(TokenizerError) {
        if !sink.tracked, memory.recall(text.bytes, word, &sink) { return }
        try model.encode(text.bytes, word, &memory.scratch)
        if sink.tracked {
            var position = word.lowerBound
            for index in memory.scratch.ids.indices {
                sink.append(memory.scratch.ids[index], origin: text.origin(min(position, word.upperBound - 1)))
                position += Int(memory.scratch.lengths[index])
            }
        } else {
            sink.append(memory.scratch.ids[...])
            memory.keep(text.bytes, word)
        }
    }
}

extension JSONTokenizer {
    /// Whether the two ways of merging give the same symbols for a word; for tests.
    func mergesBothWays(_ word: [UInt8]) throws(TokenizerError) -> Bool {
        var heap = BPEScratch()
        heap.scanLimit = 0
        try model.encode(word, 0..<word.count, &heap)
        var scan = BPEScratch()
        scan.scanLimit = .max
        try model.encode(word, 0..<word.count, &scan)
        return heap.ids == scan.ids && heap.lengths == scan.lengths
    }
}

/// Words and their ids, up to a limit.
struct WordMemory {
    private static let wordLimit = 64
    private static let countLimit = 1 << 16
    private static let byteLimit = 1 << 20

    var scratch = BPEScratch()
    private var table = ByteKeyTable(minimumCapacity: 1 << 10)
    private var ids: [Int32] = []

    /// Adds the ids of a word that is known.
    @inline(__always)
    func recall(_ bytes: [UInt8], _ word: Range<Int>, _ sink: inout TokenSink) -> Bool {
        if word.count > Self.wordLimit { return false }
        guard let value = table.find(bytes, word) else { return false }
        let start = Int(value >> 8)
        sink.append(ids[start..<(start + Int(value & 0xFF))])
        return true
    }

    /// Remembers the ids that stand in `scratch`.
    mutating func keep(_ bytes: [UInt8], _ word: Range<Int>) {
        if word.count > Self.wordLimit || scratch.ids.count > 0xFF { return }
        if table.count >= Self.countLimit || table.arenaBytes >= Self.byteLimit {
            table.removeAll()
            ids.removeAll(keepingCapacity: true)
        }
        table.insert(bytes, word, UInt64(ids.count) << 8 | UInt64(scratch.ids.count))
        ids += scratch.ids
    }
}
