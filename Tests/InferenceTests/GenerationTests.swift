import Inference
import ModelTestSupport
import Models
import Testing
import Text

/// Answers do not depend on caches, on company, or on who listens.
@Suite(.serialized) struct GenerationTests {
    let tiny: TinyQwen2VL
    let generator: Generator

    init() throws {
        tiny = try TinyQwen2VL()
        generator = Generator(tiny.model)
    }

    @Test(arguments: [
        SamplingOptions.greedy, SamplingOptions(temperature: 1, seed: 4),
        SamplingOptions(temperature: 0.8, topK: 20, topP: 0.9, repetitionPenalty: 1.2, seed: 5),
    ])
    func aBatchEqualsItsMembers(_ sampling: SamplingOptions) throws {
        let sequences = try tiny.mixedPrompts()
        // Answers of different lengths: the batch goes on without those that ended.
        let options = sequences.indices.map { GenerationOptions(maxTokens: 6 + $0 * 3, sampling: sampling) }
        let together = try generator.generate(sequences, options)
        let uncached = try generator.generate(sequences, options, useCache: false)
        for index in sequences.indices {
            let alone = try generator.generate(sequences[index], options[index])
            #expect(together[index].tokens == alone.tokens, "sequence \(index)")
            #expect(uncached[index].tokens == alone.tokens, "sequence \(index)")
            #expect(alone.tokens.count == 6 + index * 3 && alone.finishReason == .length)
            #expect(alone.promptTokens == sequences[index].rows.count)
            #expect(alone.imageTokens == sequences[index].imageTokenCount)
        }
        let reversed = try generator.generate(sequences.reversed(), options.reversed())
        #expect(reversed.map(\.tokens) == together.map(\.tokens).reversed())
    }

    @Test func stopTokensEndAnAnswer() throws {
        let sequence = try tiny.prompt("Hi", pictures: [(40, 40)])
        let free = try generator.generate(sequence, GenerationOptions(maxTokens: 12)).tokens
        let stop = free[7]
        let first = try #require(free.firstIndex(of: stop))
        let ended = try generator.generate(sequence, GenerationOptions(maxTokens: 12, stopTokens: [stop]))
        #expect(ended.tokens == Array(free.prefix(first)))
        #expect(ended.finishReason == .stop)
    }

    @Test func aListenerMayEndAnAnswer() throws {
        let sequences = try [tiny.prompt("Hi"), tiny.prompt("Ho ho")]
        var heard: [[Int32]] = [[], []]
        let options = [GenerationOptions](repeating: GenerationOptions(maxTokens: 9), count: 2)
        let results = try generator.generate(sequences, options) { index, token in
            heard[index].append(token)
            return index == 1 || heard[0].count < 3
        }
        #expect(results.map(\.tokens) == heard)
        #expect(results.map(\.finishReason) == [.cancelled, .length])
        #expect(heard.map(\.count) == [3, 9])
        struct Refusal: Error {}
        #expect(throws: Refusal.self) { try generator.generate(sequences, options) { _, _ in throw Refusal() } }
        // The generator is as good as new after it.
        #expect(try generator.generate(sequences, options).map(\.tokens.count) == [9, 9])
    }

    @Test func theContextIsTheLimit() throws {
        let limit = tiny.folder.family.contextLength
        var sequence = try tiny.prompt("x")
        while sequence.rows.count < limit - 3 {
            sequence.rows.append(TokenRow(id: 9, position: SIMD3(repeating: sequence.nextPosition)))
            sequence.nextPosition += 1
        }
        let result = try generator.generate(sequence, GenerationOptions(maxTokens: 100))
        #expect(result.tokens.count == 3 && result.finishReason == .length)
        #expect(try generator.generate(sequence, GenerationOptions(maxTokens: 0)).tokens.isEmpty)
    }

    @Test func theStreamedTextIsTheText() throws {
        for (index, sequence) in try tiny.mixedPrompts().enumerated() {
            let tokenizer = tiny.folder.tokenizer
            var stream = StreamingDetokenizer(tokenizer, skipSpecialTokens: false)
            var pieces: [String] = []
            let sampling = SamplingOptions(temperature: 2, seed: UInt64(index))
            let options = GenerationOptions(maxTokens: 40, sampling: sampling)
            let result = try generator.generate(sequence, options) { token in
                pieces.append(try stream.push(token))
                return true
            }
            pieces.append(try stream.flush())
            #expect(try pieces.joined().utf8.elementsEqual(tokenizer.decode(result.tokens).utf8))
            #expect(pieces.count == result.tokens.count + 1)
        }
    }

    @Test func nothingToAnswer() throws {
        #expect(try generator.generate([], []).isEmpty)
        let empty = ProcessedSequence(rows: [], items: [], nextPosition: 0, promptText: "")
        #expect(try generator.generate(empty, GenerationOptions(maxTokens: 3)).tokens.isEmpty)
    }
}
