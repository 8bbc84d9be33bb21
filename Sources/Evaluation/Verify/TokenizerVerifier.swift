import Foundation
import Goldens
import Text

/// `tokenizer_golden.json`: the ids of strings, and the text of id sequences.
///
/// InternLM2's folder has three readings of the same strings: its own tokenizer, the `tokenizer.json` path and plain
/// SentencePiece.
struct TokenizerVerifier: FolderVerifier {
    static let kind = "tokenizer"
    private static let file = "tokenizer_golden.json"

    static func matches(_ contents: GoldenContents) -> Bool { contents.has(file) }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        let golden = try GoldenContents.read(contents.url.appending(path: file))
        let encode = golden["encode"].array ?? [], decode = golden["decode_random_ids"].array ?? []
        let tokenizer = try Tokenizer.load(directory: contents.url.path)
        verifyInventory(tokenizer, golden, &report)
        try verify(tokenizer, prefix: "", encode, decode, &report)
        if (encode + decode).contains(where: { !$0["tokenizer_json_decoded"].isNull }) {
            let other = try Tokenizer(json: [UInt8](Data(contentsOf: contents.url.appending(path: "tokenizer.json"))))
            try verify(other, prefix: "tokenizer_json_", encode, decode, &report)
        }
        if (encode + decode).contains(where: { !$0["sentencepiece_decoded"].isNull }) {
            let model = contents.url.appending(path: "tokenizer.model")
            let other = try Tokenizer(sentencePiece: [UInt8](Data(contentsOf: model)))
            try verify(other, prefix: "sentencepiece_", encode, decode, &report)
        }
    }

    private static func verifyInventory(_ tokenizer: Tokenizer, _ golden: GoldenJSON, _ report: inout VerifyReport) {
        if let size = golden["vocab_size"].int {
            report.add(
                "vocab_size", holds: tokenizer.vocabularySize == size,
                "is \(tokenizer.vocabularySize), the golden \(size)")
        }
        for field in ["special_ids", "special_tokens"] {
            for (token, id) in (golden[field].object ?? [:]).sorted(by: { $0.key < $1.key }) {
                let found = tokenizer.id(for: token).map(Int.init)
                report.add(
                    "\(field).\(token)", holds: found == id.int,
                    "is \(found.map(String.init) ?? "no token"), the golden \(id.int.map(String.init) ?? "none")")
            }
        }
    }

    private static func verify(
        _ tokenizer: Tokenizer, prefix: String, _ encode: [GoldenJSON], _ decode: [GoldenJSON],
        _ report: inout VerifyReport
    ) throws {
        for (index, item) in encode.enumerated() {
            let name = "encode[\(index)]"
            guard let text = text(of: item) else {
                report.add("\(name).text", holds: false, "the golden has neither text nor utf8_hex")
                continue
            }
            compare("\(name).\(prefix)ids", text, item["\(prefix)ids"], &report) { try tokenizer.encode(text) }
            compare("\(name).\(prefix)ids of pieces", text, item["\(prefix)ids"], &report) {
                try tokenizer.encode(TaggedText(text, .template)).map(\.id)
            }
            compare("\(name).\(prefix)ids_add_special_tokens", text, item["\(prefix)ids_add_special_tokens"], &report) {
                try tokenizer.encode(text, addSpecialTokens: true)
            }
            compare("\(name).\(prefix)ids_no_special", text, item["\(prefix)ids_no_special"], &report) {
                try tokenizer.encode(TaggedText(text, .data(0))).map(\.id)
            }
            verifyDecoding(name, tokenizer, item["\(prefix)ids"], item, prefix, &report)
        }
        for (index, item) in decode.enumerated() {
            // All readings decode the same random ids.
            verifyDecoding("decode_random_ids[\(index)]", tokenizer, item["ids"], item, prefix, &report)
        }
    }

    /// The text of a case, from its bytes where they are given.
    private static func text(of item: GoldenJSON) -> String? {
        guard let hex = item["utf8_hex"].string else { return item["text"].string }
        let digits = hex.compactMap(\.hexDigitValue)
        guard digits.count == hex.count, digits.count.isMultiple(of: 2) else { return nil }
        let bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func compare(
        _ name: String, _ text: String, _ golden: GoldenJSON, _ report: inout VerifyReport,
        _ encode: () throws -> [Int32]
    ) {
        guard !golden.isNull else { return }
        guard let expected = golden.ints else { return report.add(name, holds: false, "the golden is no list of ids") }
        do {
            let found = try encode().map(Int.init)
            report.add(name, holds: found == expected, "\(text.debugDescription) is \(found), the golden \(expected)")
        } catch {
            report.add(name, holds: false, "\(text.debugDescription): \(error)")
        }
    }

    private static func verifyDecoding(
        _ name: String, _ tokenizer: Tokenizer, _ ids: GoldenJSON, _ item: GoldenJSON, _ prefix: String,
        _ report: inout VerifyReport
    ) {
        for (field, skips) in [("\(prefix)decoded", false), ("\(prefix)decoded_skip_special", true)] {
            guard let expected = item[field].string else { continue }
            guard let ids = ids.ints?.map({ Int32(clamping: $0) }) else {
                report.add("\(name).\(field)", holds: false, "the golden is no list of ids")
                continue
            }
            report.addText("\(name).\(field)", expected: expected) {
                try tokenizer.decode(ids, skipSpecialTokens: skips)
            }
            report.addText("\(name).\(field) as a stream", expected: expected) {
                var stream = StreamingDetokenizer(tokenizer, skipSpecialTokens: skips)
                return try ids.map { try stream.push($0) }.joined() + stream.flush()
            }
        }
    }
}
