import Foundation
import TestSupport
import Testing

@testable import Text

/// Small tokenizers of many kinds against what the Rust library makes of texts (`Tests/Goldens/make_tokenizers.py`).
@Suite struct TokenizerKindsTests {
    static let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
    static let folder = Fixtures.goldens.appending(path: "tokenizers").path

    @Test func areThere() { #expect(Self.names.count >= 11) }

    @Test(arguments: names) func agree(_ name: String) throws {
        let golden = try TokenizerGoldens.json(Self.folder + "/" + name)
        let tokenizer = try Tokenizer(json: golden.required("tokenizer"), configuration: TokenizerConfiguration())
        #expect(try tokenizer.vocabularySize == golden.required("vocab_size").integer(below: 1 << 20))
        for item in try golden.required("encode").items() {
            let text = try item.text()
            let ids = try item.ids("ids")
            #expect(try tokenizer.encode(text) == ids, "\(item.path) \(text.debugDescription)")
            #expect(try tokenizer.encode(TaggedText(text, .template)).map(\.id) == ids, "\(item.path)")
            let whole = try item.optional("ids_add_special_tokens") == nil ? ids : item.ids("ids_add_special_tokens")
            #expect(try tokenizer.encode(text, addSpecialTokens: true) == whole, "\(item.path)")
            try decode(tokenizer, ids, try item.string("decoded"), skips: false, item.path)
            try decode(tokenizer, ids, try item.string("decoded_skip_special"), skips: true, item.path)
        }
        for item in try golden.required("decode_random_ids").items() {
            try decode(tokenizer, item.ids("ids"), try item.string("decoded"), skips: false, item.path)
        }
    }

    private func decode(_ tokenizer: Tokenizer, _ ids: [Int32], _ expected: String, skips: Bool, _ path: String) throws
    {
        let whole = try tokenizer.decode(ids, skipSpecialTokens: skips)
        #expect(sameBytes(whole, expected), "\(path) \(whole.debugDescription) \(expected.debugDescription)")
        var stream = StreamingDetokenizer(tokenizer, skipSpecialTokens: skips)
        var text = ""
        for id in ids { text += try stream.push(id) }
        text += try stream.flush()
        #expect(sameBytes(text, expected), "\(path)")
    }
}
