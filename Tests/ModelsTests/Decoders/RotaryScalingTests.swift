import Foundation
import ModelTestSupport
import Testing
import Torch

@testable import Models

@Suite struct RotaryScalingTests {
    private let plain = RotaryScaling.none.frequencies(base: 10000, size: 8, length: 0)

    @Test func linear() {
        let scaled = RotaryScaling.linear(factor: 4).frequencies(base: 10000, size: 8, length: 99)
        #expect(scaled == plain.map { $0 / 4 })
    }

    /// The base grows beyond the trained length only: `base · (factor · length / trained - factor + 1)^(size / (size - 2))`.
    @Test func dynamic() {
        let scaling = RotaryScaling.dynamic(factor: 2, trainedLength: 100)
        #expect(scaling.frequencies(base: 10000, size: 8, length: 100) == plain)
        let base = 10000 * pow(2 * 1.5 - 1, 8.0 / 6)
        let long = scaling.frequencies(base: 10000, size: 8, length: 150)
        for (index, frequency) in long.enumerated() {
            #expect(abs(Double(frequency) - pow(base, -2 * Double(index) / 8)) < 1e-6)
        }
    }

    @Test func llama3KeepsHighAndDividesLowFrequencies() {
        let scaled = RotaryScaling.llama3(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, trainedLength: 64
        ).frequencies(base: 10000, size: 8, length: 9)
        #expect(scaled[0] == plain[0] && scaled[3] == plain[3] / 8)
        #expect(scaled[1] > plain[1] / 8 - 1e-9 && scaled[1] <= plain[1])
    }

    @Test func longListsBeginBeyondTheTrainedLength() {
        let scaling = RotaryScaling.perFrequency(
            short: [1, 1, 1, 1], long: [2, 4, 8, 16], trainedLength: 10, magnitude: 1.5)
        #expect(scaling.frequencies(base: 10000, size: 8, length: 10) == plain)
        #expect(scaling.frequencies(base: 10000, size: 8, length: 11) == zip(plain, [2, 4, 8, 16]).map { $0 / $1 })
        #expect(scaling.magnitude == 1.5)
    }

    /// A prompt's frequencies hold to the end of its answer, so that an answer that grows beyond the trained length is
    /// the same with and without a cache.
    @Test func anAnswerKeepsItsPromptsFrequencies() throws {
        let scaling = JSONValue.object(["type": .string("dynamic"), "factor": .number(3)])
        let tiny = try TinyTiled(
            "NVLM_D",
            ["llm_config.rope_scaling": scaling, "llm_config.max_position_embeddings": .number(64)])
        let sequence = try tiny.prompt("Grow beyond it, please.")
        let cache = tiny.model.decoder.makeCache()
        #expect(sequence.rows.count < 64 && tiny.processor.stopTokens.count == 1)
        var whole = sequence
        try withoutGradient {
            _ = try tiny.model.hiddenStates(ModelInput([sequence]), ForwardContext(caches: [cache]))
            while whole.rows.count < 80 {
                let step = try ModelInput(continuing: [[(id: 9, position: whole.nextPosition)]])
                let cached = try tiny.model.hiddenStates(step, ForwardContext(caches: [cache]))
                whole.append(generated: 9)
                let all = try tiny.hiddenStates([whole])[0]
                #expect(try largestDifference(cached, all.slice(0, whole.rows.count - 1..<whole.rows.count)) < 1e-4)
            }
        }
    }
}
