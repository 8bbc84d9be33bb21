import Foundation
import TestSupport
import Testing

@testable import Text

@Suite struct TokenizerPropertyTests {
    private func tokenizer() throws -> Tokenizer { try Tokenizer.load(directory: Fixtures.path("tokenizer_small")) }

    @Test func encodingAndDecodingGivesTheComposedText() throws {
        let tokenizer = try tokenizer()
        var random = SeededGenerator(1)
        for _ in 0..<1500 {
            let text = random.text(scalars: Int.random(in: 0...60, using: &random))
            let composed = text.precomposedStringWithCanonicalMapping
            #expect(sameBytes(try tokenizer.decode(tokenizer.encode(text)), composed), "\(text.debugDescription)")
        }
    }

    @Test func streamedTextIsWholeTextAndWholeCharacters() throws {
        let tokenizer = try tokenizer()
        var random = SeededGenerator(2)
        for _ in 0..<600 {
            let count = Int.random(in: 0...40, using: &random)
            let ids = (0..<count).map { _ in
                Int32.random(in: 0..<Int32(tokenizer.vocabularySize), using: &random)
            }
            for skips in [true, false] {
                var stream = StreamingDetokenizer(tokenizer, skipSpecialTokens: skips)
                var text = ""
                for id in ids { text += try stream.push(id) }
                text += try stream.flush()
                #expect(sameBytes(text, try tokenizer.decode(ids, skipSpecialTokens: skips)))
            }
        }
        var stream = StreamingDetokenizer(tokenizer)
        let text = "wörld 中文 😀👨‍👩‍👧 é"
        var pieces: [String] = []
        for id in try tokenizer.encode(text) { pieces.append(try stream.push(id)) }
        pieces.append(try stream.flush())
        #expect(pieces.joined() == text)
        #expect(pieces.allSatisfy { !$0.unicodeScalars.contains("\u{FFFD}") })
    }

    @Test func dataNeverGivesSpecialTokens() throws {
        let tokenizer = try tokenizer()
        let special = tokenizer.specialTokens.all
        #expect(special.count == 14)
        var random = SeededGenerator(3)
        for _ in 0..<400 {
            var tagged = TaggedText()
            var expected: [Int32] = []
            for part in 0..<Int.random(in: 1...6, using: &random) {
                let token = try #require(special.randomElement(using: &random))
                let text = random.text(scalars: 4)
                if Bool.random(using: &random) {
                    tagged.append(text + token.text, .data(part))
                } else {
                    tagged.append(token.text, .template)
                    expected.append(token.id)
                }
            }
            let tokens = try tokenizer.encode(tagged)
            #expect(tokens.filter { tokenizer.isSpecial($0.id) }.map(\.id) == expected)
            for token in tokens where tokenizer.isSpecial(token.id) { #expect(token.source == .template) }
            let text = try tokenizer.decode(tokens.map(\.id))
            #expect(sameBytes(text, tagged.string.precomposedStringWithCanonicalMapping))
        }
    }

    @Test func aSpecialTokenAcrossTwoRunsIsText() throws {
        let tokenizer = try tokenizer()
        var tagged = TaggedText("<|im_", .template)
        tagged.append("start|>", .data(0))
        #expect(try tokenizer.encode(tagged).allSatisfy { !tokenizer.isSpecial($0.id) })
    }

    @Test func wordsAreCutAcrossRunsAndKeepTheSourceOfTheirFirstByte() throws {
        let tokenizer = try tokenizer()
        var tagged = TaggedText("<|im_start|>user\n", .template)
        tagged.append("the circ", .data(7))
        tagged.append("le is", .data(8))
        tagged.append("<|im_end|>", .template)
        let tokens = try tokenizer.encode(tagged)
        #expect(try tokens.map(\.id) == tokenizer.encode(tagged.string))
        var start = 0
        for token in tokens {
            let expected: TaggedText.Source =
                start < 17 ? .template : start < 25 ? .data(7) : start < 30 ? .data(8) : .template
            #expect(token.source == expected)
            start += try tokenizer.decode([token.id]).utf8.count
        }
    }

    @Test func theSourceSurvivesNormalising() throws {
        let tokenizer = try tokenizer()
        var tagged = TaggedText("e\u{301}e\u{301}", .data(1))
        tagged.append("<|im_end|>", .template)
        tagged.append("e\u{301}x", .data(2))
        let tokens = try tokenizer.encode(tagged)
        let end = try #require(tokens.firstIndex { $0.source == .template })
        #expect(tokens[..<end].allSatisfy { $0.source == .data(1) })
        #expect(tokens[(end + 1)...].allSatisfy { $0.source == .data(2) })
    }

    @Test func longWordsMergeAsShortOnesDo() throws {
        let tokenizer = try tokenizer()
        // One word of many symbols goes through the heap; many words of few through the scan.
        let word = String(repeating: "antidisestablishment", count: 200)
        #expect(try tokenizer.decode(tokenizer.encode(word)) == word)
        let model = try #require(tokenizer.backend as? JSONTokenizer)
        var random = SeededGenerator(9)
        for _ in 0..<50 {
            let text = (0..<60).map { _ in "etaoinshr".randomElement(using: &random) ?? "e" }
            let bytes = Array(String(text).utf8)
            #expect(try model.mergesBothWays(bytes))
        }
    }

    @Test func manyTasksShareATokenizer() async throws {
        let tokenizer = try tokenizer()
        let texts = (0..<32).map { "text \($0) of many, with numbers \($0 * 977)" }
        let expected = try texts.map { try tokenizer.encode($0) }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for (text, ids) in zip(texts, expected) {
                group.addTask { try (0..<50).allSatisfy { _ in try tokenizer.encode(text) == ids } }
            }
            for try await same in group { #expect(same) }
        }
    }
}
