import TestSupport
import Testing

@testable import Text

@Suite(.enabled(if: Fixtures.has("tokenizer_internlm2"))) struct SentencePieceTests {
    @Test func encodesAndDecodesAsInternLM2Tokenizer() throws {
        let goldens = try TokenizerGoldens("tokenizer_internlm2")
        let tokenizer = try Tokenizer.load(directory: goldens.folder)
        #expect(tokenizer.vocabularySize == 1215)
        #expect(tokenizer.specialTokens.bos == Int32(1))
        #expect(tokenizer.id(for: "<IMG_CONTEXT>") == Int32(1208))
        for item in try goldens.cases("encode") {
            let text = try item.text()
            let ids = try item.ids("ids")
            #expect(try tokenizer.encode(text) == ids, "\(item.path) \(text.debugDescription)")
            let whole = try item.ids("ids_add_special_tokens")
            #expect(try tokenizer.encode(text, addSpecialTokens: true) == whole, "\(item.path)")
            #expect(try tokenizer.encode(TaggedText(text, .template)).map(\.id) == ids, "\(item.path)")
            try decode(tokenizer, ids, item)
        }
        for item in try goldens.cases("decode_random_ids") { try decode(tokenizer, item.ids("ids"), item) }
    }

    private func decode(_ tokenizer: Tokenizer, _ ids: [Int32], _ item: JSONField) throws {
        for (skips, name) in [(false, "decoded"), (true, "decoded_skip_special")] {
            let expected = try item.string(name)
            let decoded = try tokenizer.decode(ids, skipSpecialTokens: skips)
            #expect(
                sameBytes(decoded, expected), "\(item.path) \(decoded.debugDescription) \(expected.debugDescription)")
            var stream = StreamingDetokenizer(tokenizer, skipSpecialTokens: skips)
            var text = ""
            for id in ids { text += try stream.push(id) }
            text += try stream.flush()
            #expect(sameBytes(text, expected), "\(item.path)")
        }
    }

    @Test func aModelAloneIsPlainSentencePiece() throws {
        let goldens = try TokenizerGoldens("tokenizer_internlm2")
        let bytes = try #require(try TokenizerFiles(directory: goldens.folder).read("tokenizer.model"))
        let backend = try SentencePieceTokenizer(bytes, file: "model", configuration: TokenizerConfiguration())
        let tokenizer = Tokenizer(backend: backend, configuration: TokenizerConfiguration())
        for item in try goldens.cases("encode") {
            guard try item.optional("sentencepiece_ids") != nil else { continue }
            let ids = try item.ids("sentencepiece_ids")
            #expect(try tokenizer.encode(item.text()) == ids, "\(item.path)")
            let decoded = try tokenizer.decode(ids)
            #expect(
                sameBytes(decoded, try item.string("sentencepiece_decoded")), "\(item.path) \(decoded.debugDescription)"
            )
        }
    }

    @Test func aBrokenModelIsAnError() throws {
        let goldens = try TokenizerGoldens("tokenizer_internlm2")
        let bytes = try #require(try TokenizerFiles(directory: goldens.folder).read("tokenizer.model"))
        for broken in [[], Array(bytes.prefix(1000)), Array(bytes.dropFirst(3)), [UInt8](repeating: 0xFF, count: 64)] {
            #expect(throws: TokenizerError.self) {
                try SentencePieceTokenizer(broken, file: "model", configuration: TokenizerConfiguration())
            }
        }
    }
}
