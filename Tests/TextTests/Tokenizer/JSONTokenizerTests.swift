import TestSupport
import Testing

@testable import Text

@Suite struct JSONTokenizerTests {
    @Test(arguments: ["tokenizer_small", "tokenizer_qwen2vl", "tokenizer_internvl_qwen2"].filter { Fixtures.has($0) })
    func encodesAndDecodesAsQwen2TokenizerFast(_ name: String) throws {
        let goldens = try TokenizerGoldens(name)
        try check(Tokenizer.load(directory: goldens.folder), goldens.golden)
    }

    private func check(_ tokenizer: Tokenizer, _ golden: JSONField) throws {
        #expect(try tokenizer.vocabularySize == golden.required("vocab_size").integer(below: 1 << 22))
        for item in try golden.required("encode").items() {
            let text = try item.text()
            let ids = try item.ids("ids")
            #expect(try tokenizer.encode(text) == ids, "\(item.path) \(text.debugDescription)")
            let tagged = try tokenizer.encode(TaggedText(text, .template))
            #expect(tagged.map(\.id) == ids, "\(item.path) \(text.debugDescription)")
            try decode(tokenizer, ids, item)
        }
        for item in try golden.required("decode_random_ids").items() {
            try decode(tokenizer, item.ids("ids"), item)
        }
    }

    private func decode(_ tokenizer: Tokenizer, _ ids: [Int32], _ item: JSONField) throws {
        #expect(sameBytes(try tokenizer.decode(ids), try item.string("decoded")), "\(item.path)")
        let skipped = try tokenizer.decode(ids, skipSpecialTokens: true)
        #expect(sameBytes(skipped, try item.string("decoded_skip_special")), "\(item.path)")
        var stream = StreamingDetokenizer(tokenizer, skipSpecialTokens: false)
        var streamed = ""
        for id in ids { streamed += try stream.push(id) }
        streamed += try stream.flush()
        #expect(sameBytes(streamed, try item.string("decoded")), "\(item.path)")
    }

    @Test(.enabled(if: Fixtures.has("tokenizer_internlm2")))
    func theTokenizerJSONOfInternLM2() throws {
        let goldens = try TokenizerGoldens("tokenizer_internlm2")
        let root = try #require(try TokenizerFiles(directory: goldens.folder).json("tokenizer.json"))
        let tokenizer = try Tokenizer(json: root, configuration: TokenizerConfiguration())
        for item in try goldens.cases("encode") {
            let text = try item.text()
            let ids = try item.ids("tokenizer_json_ids")
            #expect(try tokenizer.encode(text) == ids, "\(item.path) \(text.debugDescription)")
            #expect(try tokenizer.encode(TaggedText(text, .template)).map(\.id) == ids, "\(item.path)")
            #expect(sameBytes(try tokenizer.decode(ids), try item.string("tokenizer_json_decoded")), "\(item.path)")
            #expect(try tokenizer.encode(text, addSpecialTokens: true) == [1] + ids)
        }
        for item in try goldens.cases("decode_random_ids") {
            let text = try tokenizer.decode(item.ids("ids"))
            #expect(sameBytes(text, try item.string("tokenizer_json_decoded")), "\(item.path)")
        }
    }
}
