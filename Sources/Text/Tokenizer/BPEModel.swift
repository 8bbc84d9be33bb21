/// The tokens of a model by id and by their bytes.
struct Vocabulary: Sendable {
    /// More ids than any published vocabulary has, and few enough that a hostile file costs little memory.
    static let limit = 1 << 22

    private var table: ByteKeyTable
    /// Indexed by id; `nil` where the vocabulary has a hole.
    private(set) var tokens: [[UInt8]?] = []
    private(set) var count = 0

    init(minimumCapacity: Int = 64) { table = ByteKeyTable(minimumCapacity: minimumCapacity) }

    /// Adds a token; where a token is named twice, its later id counts, as in the reference.
    mutating func insert(_ token: [UInt8], _ id: Int32) {
        if table.find(token) == nil { count += 1 }
        table.insert(token, UInt64(UInt32(bitPattern: id)))
        while tokens.count <= Int(id) { tokens.append(nil) }
        tokens[Int(id)] = token
    }

    @inline(__always)
    func id(_ bytes: [UInt8], _ range: Range<Int>) -> Int32? {
        table.find(bytes, range).map { Int32(truncatingIfNeeded: $0) }
    }

    func id(_ token: [UInt8]) -> Int32? { id(token, 0..<token.count) }
}

/// Byte-pair encoding as the Rust `tokenizers` library does it (models/bpe/model.rs and word.rs).
struct BPEModel: Sendable {
    struct Options: Sendable {
        var unknownToken: [UInt8]?
        var fuseUnknown = false
        var byteFallback = false
        var ignoreMerges = false
        var continuingSubwordPrefix: [UInt8] = []
        var endOfWordSuffix: [UInt8] = []
    }

    let vocabulary: Vocabulary
    let options: Options
    private let merges: MergeTable
    private let unknownID: Int32?
    /// Ids of `<0x00>` to `<0xFF>`; -1 where missing.
    private let fallbackIDs: [Int32]
    /// The symbol of each byte, if words come as raw bytes.
    private var byteIDs: [Int32] = []
    /// Whole tokens as raw bytes, for `ignoreMerges`.
    private var rawTokens: ByteKeyTable?

    init(vocabulary: Vocabulary, merges: MergeTable, options: Options) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.options = options
        unknownID = options.unknownToken.flatMap { vocabulary.id($0) }
        let digits = Array("0123456789ABCDEF".utf8)
        fallbackIDs = (0..<256).map { byte in
            vocabulary.id(Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15], UInt8(ascii: ">")]) ?? -1
        }
    }

    /// The same model for words of raw bytes instead of GPT-2's stand-ins, which gives the same ids without spelling the
    /// stand-ins out; `nil` where some byte has no symbol of its own, so that spelling out matters.
    func overBytes() -> BPEModel? {
        if !options.continuingSubwordPrefix.isEmpty || !options.endOfWordSuffix.isEmpty { return nil }
        var copy = self
        copy.byteIDs = ByteAlphabet.encoded.map { vocabulary.id($0) ?? -1 }
        if copy.byteIDs.contains(-1) { return nil }
        if options.ignoreMerges {
            var table = ByteKeyTable(minimumCapacity: vocabulary.tokens.count)
            for token in vocabulary.tokens {
                guard let token, let id = vocabulary.id(token), let raw = ByteAlphabet.decode(token) else { continue }
                table.insert(raw, UInt64(UInt32(bitPattern: id)))
            }
            copy.rawTokens = table
        }
        return copy
    }

    /// Encodes one word and leaves its ids, with the length in bytes of each, in `scratch`.
    func encode(_ bytes: [UInt8], _ range: Range<Int>, _ scratch: inout BPEScratch) throws(TokenizerError) {
        scratch.removeAll()
        if options.ignoreMerges {
            let whole =
                rawTokens.map { $0.find(bytes, range).map { Int32(truncatingIfNeeded: $0) } }
                ?? vocabulary.id(bytes, range)
            if let whole {
                scratch.append(whole, range.count)
                return
            }
        }
        if byteIDs.isEmpty {
            try spell(bytes, range, &scratch)
        } else {
            for index in range { scratch.append(byteIDs[Int(bytes[index])], 1) }
        }
        scratch.merge(merges)
    }

    private func spell(_ bytes: [UInt8], _ range: Range<Int>, _ scratch: inout BPEScratch) throws(TokenizerError) {
        var unknownLength = 0
        var index = range.lowerBound
        while index < range.upperBound {
            let length = decodeScalar(bytes, index).length
            let end = index + length
            let prefix = index > range.lowerBound ? options.continuingSubwordPrefix : []
            let suffix = end == range.upperBound ? options.endOfWordSuffix : []
            let plain = prefix.isEmpty && suffix.isEmpty
            let symbol = plain ? [] : prefix + bytes[index..<end] + suffix
            if let id = plain ? vocabulary.id(bytes, index..<end) : vocabulary.id(symbol) {
                if unknownLength > 0, let unknownID { scratch.append(unknownID, unknownLength) }
                unknownLength = 0
                scratch.append(id, length)
            } else if options.byteFallback, fallback(plain ? Array(bytes[index..<end]) : symbol, &scratch) {
                // As in the reference, an unknown token that waits to be fused keeps waiting.
            } else if options.unknownToken != nil {
                guard let unknownID else {
                    throw .unencodable(String(decoding: bytes[index..<end], as: UTF8.self))
                }
                if unknownLength > 0, !options.fuseUnknown {
                    scratch.append(unknownID, unknownLength)
                    unknownLength = 0
                }
                unknownLength += length
            }
            index = end
        }
        if unknownLength > 0, let unknownID { scratch.append(unknownID, unknownLength) }
    }

    private func fallback(_ symbol: [UInt8], _ scratch: inout BPEScratch) -> Bool {
        if symbol.contains(where: { fallbackIDs[Int($0)] < 0 }) { return false }
        for byte in symbol { scratch.append(fallbackIDs[Int(byte)], 1) }
        return true
    }
}
