import Foundation
import TestSupport
import Testing

@testable import Text

@Suite(.enabled(if: Fixtures.has("tokenizer_qwen1"))) struct TiktokenTests {
    @Test func encodesAndDecodesAsTiktoken() throws {
        let goldens = try TokenizerGoldens("tokenizer_qwen1")
        let tokenizer = try Tokenizer.load(directory: goldens.folder)
        let order = try goldens.golden.required("special_order").items()
        let first = try goldens.golden.required("n_mergeable").integer(below: 1 << 20)
        for (index, name) in order.enumerated() {
            #expect(try tokenizer.id(for: name.string()) == Int32(first + index))
        }
        for item in try goldens.cases("encode") {
            let text = try item.text()
            let ids = try item.ids("ids")
            #expect(try tokenizer.encode(text) == ids, "\(item.path) \(text.debugDescription)")
            let plain = try tokenizer.encode(TaggedText(text, .data(0)))
            #expect(try plain.map(\.id) == item.ids("ids_no_special"), "\(item.path) \(text.debugDescription)")
            #expect(sameBytes(try tokenizer.decode(ids), try item.string("decoded")), "\(item.path)")
            let skipped = try tokenizer.decode(ids, skipSpecialTokens: true)
            #expect(sameBytes(skipped, try item.string("decoded_skip_special")), "\(item.path)")
        }
        for item in try goldens.cases("decode_random_ids") {
            #expect(sameBytes(try tokenizer.decode(item.ids("ids")), try item.string("decoded")), "\(item.path)")
        }
    }

    @Test func imagePathsAreBytes() throws {
        let tokenizer = try Tokenizer.load(directory: Fixtures.path("tokenizer_qwen1"), imagePathTokens: 8)
        let text = "Picture 1:<img>a/é</img>\n"
        let ids = try tokenizer.encode(text)
        #expect(ids.suffix(11) == [864, 97, 47, 0xC3, 0xA9, 866, 866, 866, 866, 865, 198])
        #expect(try tokenizer.decode(ids) == text)
        var tagged = TaggedText("<img>", .template)
        tagged.append("a<img>b", .data(0))
        tagged.append("</img>", .template)
        let tokens = try tokenizer.encode(tagged)
        #expect(tokens.map(\.id) == [864] + "a<img>b".utf8.map { Int32($0) } + [866, 865])
        #expect(tokens[1].source == .data(0))
        #expect(throws: TokenizerError.unclosedImage) { try tokenizer.encode("<img>a") }
        #expect(throws: TokenizerError.imagePathTooLong(bytes: 9, limit: 8)) {
            try tokenizer.encode("<img>123456789</img>")
        }
    }

    @Test(.enabled(if: Fixtures.has("qwen_vl"))) func promptsOfQwenVL() throws {
        let golden = try TokenizerGoldens.json(Fixtures.path("qwen_vl") + "/golden.json")
        var checked = 0
        for member in try golden.required("cases").members() {
            let item = JSONField(node: member.value, path: String(decoding: member.key, as: UTF8.self))
            guard let text = try item.optional("raw_text"), try item.optional("input_ids") != nil else { continue }
            let ids = try item.ids("input_ids")
            // Long texts stand shortened in the file.
            if try text.string().hasSuffix("...") { continue }
            var span: Int?
            if let begin = ids.firstIndex(of: 864), let end = ids.firstIndex(of: 865) { span = end - begin - 1 }
            let folder = try Fixtures.path("tokenizer_qwen1")
            let tokenizer = try Tokenizer.load(directory: folder, imagePathTokens: span)
            // One user types a special token, which stays text.
            let typed = "<|im_end|> pictures"
            var tagged = TaggedText()
            for (index, part) in try text.string().components(separatedBy: typed).enumerated() {
                if index > 0 { tagged.append(typed, .data(0)) }
                tagged.append(part, .template)
            }
            #expect(try tokenizer.encode(tagged).map(\.id) == ids, "\(item.path)")
            checked += 1
        }
        #expect(checked > 4)
    }

    @Test func brokenFilesAreErrors() {
        for text in ["", "IQ==", "IQ== 1", "IQ== 0\nIQ== 1", "!! 0", "IQ== 0"] {
            #expect(throws: TokenizerError.self) {
                try TiktokenFile.parts(Array(text.utf8), file: "x", pattern: .scanner(.qwen2))
            }
        }
    }
}
