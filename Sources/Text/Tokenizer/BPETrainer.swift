/// Learns a byte-level BPE vocabulary that is cut into words as Qwen2's is.
///
/// The result depends on the texts alone: of pairs that are equally frequent, the one of the lower ids is merged first.
public enum BPETrainer {
    /// The special tokens of Qwen2-VL, in the order of their ids.
    public static let qwen2VLSpecialTokens = [
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
        "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
        "<|image_pad|>", "<|video_pad|>",
    ]

    /// Learns a vocabulary from texts.
    ///
    /// - Parameters:
    ///   - vocabularySize: the number of entries, the 256 bytes and the special tokens among them. Fewer come out when
    ///     the texts hold no more pairs that occur twice.
    ///   - specialTokens: these get the last ids, in this order; one that the texts spell teaches nothing.
    /// - Throws: `TokenizerError.invalidField` if the size has no room for the bytes and the special tokens.
    public static func train(
        texts: some Sequence<String>, vocabularySize: Int, specialTokens: [String] = qwen2VLSpecialTokens
    ) throws(TokenizerError) -> TrainedVocabulary {
        guard vocabularySize >= 256 + specialTokens.count, vocabularySize <= Vocabulary.limit else {
            throw .invalidField(
                "vocabularySize",
                reason: "\(vocabularySize) is not between \(256 + specialTokens.count) and \(Vocabulary.limit)")
        }
        guard Set(specialTokens.map { Array($0.utf8) }).count == specialTokens.count, !specialTokens.contains("") else {
            throw .invalidField("specialTokens", reason: "one is empty or there twice")
        }
        var merger = try PairMerger(words: countWords(texts, specialTokens))
        // GPT-2's order of the bytes: the printable ones first.
        let bytes = (0..<256).sorted { ByteAlphabet.scalars[$0] < ByteAlphabet.scalars[$1] }.map { UInt8($0) }
        merger.start(bytes: bytes)
        merger.learn(tokenCount: vocabularySize - specialTokens.count)
        return TrainedVocabulary(tokens: merger.tokens, merges: merger.merges, specialTokens: specialTokens)
    }

    private static func countWords(
        _ texts: some Sequence<String>, _ specialTokens: [String]
    ) throws(TokenizerError) -> [[UInt8]: Int] {
        let added = specialTokens.map { AddedToken(id: 0, content: Array($0.utf8)) }
        let matcher = AddedTokenMatcher(added, keys: added.map(\.content))
        var counts: [[UInt8]: Int] = [:]
        for text in texts {
            let bytes = Array(text.utf8)
            var start = 0
            for match in matcher.matches(bytes, 0..<bytes.count, allowed: nil) {
                try count(bytes[start..<match.range.lowerBound], &counts)
                start = match.range.upperBound
            }
            try count(bytes[start...], &counts)
        }
        return counts
    }

    private static func count(_ bytes: ArraySlice<UInt8>, _ counts: inout [[UInt8]: Int]) throws(TokenizerError) {
        var text = OriginText(bytes: Array(bytes), origins: nil)
        try Normalizer.unicode(.nfc).apply(&text)
        let table = UnicodeClass.table
        var index = 0
        while index < text.bytes.count {
            let end = WordScanner.qwen2.wordEnd(text.bytes, table, from: index, to: text.bytes.count)
            counts[Array(text.bytes[index..<end]), default: 0] += 1
            index = end
        }
    }
}

/// A vocabulary that came out of training.
public struct TrainedVocabulary: Sendable {
    /// The tokens as bytes, by id.
    let tokens: [[UInt8]]
    /// Pairs of ids, in the order of their ranks.
    let merges: [Pair]
    let specialTokens: [String]

    struct Pair: Sendable, Hashable {
        var left: Int32
        var right: Int32
    }

    /// The number of ids, the special tokens' among them.
    public var count: Int { tokens.count + specialTokens.count }
}

/// Counts pairs of neighbouring tokens in words and merges the most frequent, again and again.
private struct PairMerger {
    private typealias Pair = TrainedVocabulary.Pair

    private var words: [(bytes: [UInt8], count: Int)]
    private var symbols: [[Int32]] = []
    private var counts: [TrainedVocabulary.Pair: Int] = [:]
    /// The words in which a pair stands, or stood.
    private var places: [TrainedVocabulary.Pair: Set<Int>] = [:]
    private(set) var tokens: [[UInt8]] = []
    private(set) var merges: [TrainedVocabulary.Pair] = []
    private var known: Set<[UInt8]> = []

    init(words: [[UInt8]: Int]) {
        self.words = words.map { ($0.key, $0.value) }.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }

    mutating func start(bytes: [UInt8]) {
        tokens = bytes.map { [$0] }
        known = Set(tokens)
        var ids = [Int32](repeating: 0, count: 256)
        for (id, byte) in bytes.enumerated() { ids[Int(byte)] = Int32(id) }
        symbols = words.map { $0.bytes.map { ids[Int($0)] } }
        for word in words.indices { count(word, sign: 1) }
    }

    private mutating func count(_ word: Int, sign: Int) {
        let ids = symbols[word]
        for index in ids.indices.dropLast() {
            let pair = Pair(left: ids[index], right: ids[index + 1])
            counts[pair, default: 0] += sign * words[word].count
            if sign > 0 { places[pair, default: []].insert(word) }
        }
    }

    mutating func learn(tokenCount: Int) {
        while tokens.count < tokenCount {
            var best: (pair: Pair, count: Int)?
            for (pair, count) in counts where count > 1 {
                guard let current = best else {
                    best = (pair, count)
                    continue
                }
                let precedes = (pair.left, pair.right) < (current.pair.left, current.pair.right)
                if count > current.count || count == current.count && precedes { best = (pair, count) }
            }
            guard let best else { return }
            let merged = tokens[Int(best.pair.left)] + tokens[Int(best.pair.right)]
            // Two ways to the same bytes would be two ids for one token.
            guard known.insert(merged).inserted else {
                counts[best.pair] = nil
                places[best.pair] = nil
                forbidden.insert(best.pair)
                continue
            }
            let id = Int32(tokens.count)
            tokens.append(merged)
            merges.append(best.pair)
            for word in places[best.pair] ?? [] { replace(best.pair, with: id, in: word) }
            counts[best.pair] = nil
            places[best.pair] = nil
        }
    }

    /// Pairs that are not merged, because their bytes are a token already.
    private var forbidden: Set<TrainedVocabulary.Pair> = []

    private mutating func replace(_ pair: TrainedVocabulary.Pair, with id: Int32, in word: Int) {
        count(word, sign: -1)
        let ids = symbols[word]
        var result: [Int32] = []
        var index = 0
        while index < ids.count {
            if index + 1 < ids.count, ids[index] == pair.left, ids[index + 1] == pair.right {
                result.append(id)
                index += 2
            } else {
                result.append(ids[index])
                index += 1
            }
        }
        symbols[word] = result
        count(word, sign: 1)
        for index in result.indices.dropLast() {
            let pair = Pair(left: result[index], right: result[index + 1])
            if forbidden.contains(pair) { counts[pair] = nil }
        }
    }
}
