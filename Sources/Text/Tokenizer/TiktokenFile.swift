import Foundation

/// Tokenizers of tiktoken files: a line for each token, its bytes in base 64 and its rank (`qwen.tiktoken`).
enum TiktokenFile {
    /// The special tokens of Qwen-1 and Qwen-VL, in the order in which their ids follow the ranks
    /// (`tokenization_qwen.py` of Qwen-VL-Chat).
    static let qwenSpecialTokens =
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + (0..<205).map { "<|extra_\($0)|>" }
        + ["<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>", "<imgpad>"]

    /// - Parameter pattern: how text is cut into words.
    static func parts(_ bytes: [UInt8], file: String, pattern: Pattern) throws(TokenizerError) -> JSONTokenizerParts {
        let tokens = try tokens(bytes, file)
        var vocabulary = Vocabulary(minimumCapacity: tokens.count)
        for (id, token) in tokens.enumerated() { vocabulary.insert(ByteAlphabet.encode(token), Int32(id)) }
        var options = BPEModel.Options()
        options.ignoreMerges = true
        let model = BPEModel(vocabulary: vocabulary, merges: merges(tokens), options: options)
        if model.overBytes() == nil { throw .malformed(file: file, reason: "a byte has no token") }
        var parts = JSONTokenizerParts(
            model: model, normalizer: .unicode(.nfc),
            preTokenizer: PreTokenizer(steps: [
                .split(pattern, .isolated, invert: false), .byteLevel(addPrefixSpace: false, useExpression: false),
            ]),
            decoderStages: [.byteLevel])
        // The reference normalises a text before it looks for special tokens.
        for token in qwenSpecialTokens {
            try parts.add(AddedToken(id: parts.nextID, content: Array(token.utf8), normalized: true))
        }
        return parts
    }

    private static func tokens(_ bytes: [UInt8], _ file: String) throws(TokenizerError) -> [[UInt8]] {
        var tokens: [[UInt8]] = []
        var known: Set<[UInt8]> = []
        for (number, line) in bytes.split(separator: 0x0A).enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            let parts = line.split(separator: 0x20)
            guard parts.count == 2, let token = Data(base64Encoded: Data(parts[0])), !token.isEmpty,
                Int(String(decoding: parts[1], as: UTF8.self)) == tokens.count, known.insert([UInt8](token)).inserted
            else {
                throw .malformed(file: file, reason: "line \(number + 1) is not a new token with rank \(tokens.count)")
            }
            if tokens.count >= Vocabulary.limit { throw .malformed(file: file, reason: "it has too many tokens") }
            tokens.append([UInt8](token))
        }
        return tokens
    }

    /// tiktoken merges whatever neighbours make a token, the lowest rank first: all ways to cut a token are merges.
    private static func merges(_ tokens: [[UInt8]]) -> MergeTable {
        var ids = ByteKeyTable(minimumCapacity: tokens.count)
        for (id, token) in tokens.enumerated() { ids.insert(token, UInt64(id)) }
        var table = MergeTable(minimumCapacity: tokens.count * 2)
        for (id, token) in tokens.enumerated() {
            for cut in 0..<token.count where cut > 0 {
                if let left = ids.find(token, 0..<cut), let right = ids.find(token, cut..<token.count) {
                    table.insert(Int32(left), Int32(right), rank: UInt32(id), id: Int32(id))
                }
            }
        }
        return table
    }
}

/// Qwen-VL's rule for image paths: what stands between `<img>` and `</img>` becomes the UTF-8 bytes of the path, each
/// byte as the id of the same number, filled up with `<imgpad>`.
struct ImagePathRule: Sendable {
    let begin: Int32
    let end: Int32
    let pad: Int32
    /// The number of ids between the tags.
    let span: Int

    init?(_ inventory: TokenInventory, span: Int) {
        guard let begin = inventory.id(Array("<img>".utf8)), let end = inventory.id(Array("</img>".utf8)),
            let pad = inventory.id(Array("<imgpad>".utf8))
        else { return nil }
        (self.begin, self.end, self.pad, self.span) = (begin, end, pad, span)
    }

    func apply(_ sink: TokenSink, _ inventory: TokenInventory) throws(TokenizerError) -> TokenSink {
        var result = TokenSink(tracked: sink.tracked)
        func origin(_ index: Int) -> Int32 { sink.tracked ? sink.origins[index] : -1 }
        var index = 0
        while index < sink.ids.count {
            result.append(sink.ids[index], origin: origin(index))
            let start = index
            index += 1
            guard sink.ids[start] == begin else { continue }
            guard let close = sink.ids[index...].firstIndex(of: end) else { throw .unclosedImage }
            var count = 0
            for inner in index..<close {
                let token = inventory.token(sink.ids[inner]) ?? []
                for byte in ByteAlphabet.decode(token) ?? token {
                    result.append(Int32(byte), origin: origin(inner))
                    count += 1
                }
            }
            if count > span { throw .imagePathTooLong(bytes: count, limit: span) }
            for _ in count..<span { result.append(pad, origin: origin(start)) }
            index = close
        }
        return result
    }
}
