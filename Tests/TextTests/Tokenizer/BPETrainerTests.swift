import Foundation
import TestSupport
import Testing

@testable import Text

@Suite struct BPETrainerTests {
    private let texts = [
        "The quick brown fox jumps over the lazy dog.", "The lazy dog sleeps; the quick fox doesn't.",
        "红色的圆形在左边，蓝色的方块在右边。", "左边是蓝色的圆形。<|im_end|>",
    ]

    @Test func isDeterministicAndComplete() throws {
        let first = try BPETrainer.train(texts: texts, vocabularySize: 300)
        let second = try BPETrainer.train(texts: texts.reversed(), vocabularySize: 300)
        #expect(first.tokens == second.tokens)
        #expect(first.merges == second.merges)
        #expect(first.count == 300)
        #expect(first.merges.count == 300 - 256 - 14)
    }

    @Test func writesAFolderThatLoadsEitherWay() throws {
        let folder = try TemporaryFolder().path
        let trained = try BPETrainer.train(texts: texts, vocabularySize: 300)
        try trained.write(to: folder)
        let loaded = try Tokenizer.load(directory: folder)
        try FileManager.default.removeItem(atPath: folder + "/tokenizer.json")
        let legacy = try Tokenizer.load(directory: folder)
        #expect(loaded.vocabularySize == 300)
        #expect(loaded.id(for: "<|image_pad|>") == Int32(298))
        #expect(loaded.specialTokens.eos == loaded.id(for: "<|im_end|>"))
        #expect(loaded.specialTokens.pad == loaded.id(for: "<|endoftext|>"))
        #expect(loaded.chatTemplate == TrainedVocabulary.qwen2VLChatTemplate)
        var random = SeededGenerator(3)
        for text in texts + (0..<100).map({ _ in random.text(scalars: 40) }) {
            let ids = try loaded.encode(text)
            #expect(try legacy.encode(text) == ids)
            #expect(try trained.tokenizer().encode(text) == ids)
            #expect(sameBytes(try loaded.decode(ids), text.precomposedStringWithCanonicalMapping))
        }
    }

    @Test func refusesASizeWithoutRoom() {
        #expect(throws: TokenizerError.self) { try BPETrainer.train(texts: [], vocabularySize: 260) }
        #expect(throws: TokenizerError.self) {
            try BPETrainer.train(texts: [], vocabularySize: 400, specialTokens: ["a", "a"])
        }
    }
}
