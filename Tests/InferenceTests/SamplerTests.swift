import Foundation
import Inference
import Testing
import Torch

/// The rules by which tokens are chosen.
@Suite struct SamplerTests {
    static let scores: [Float] = [0.5, 2, -1, 1.5, 0, 2.5, -3, 1]

    /// How often each token was drawn.
    private func counts(_ options: SamplingOptions, _ scores: [Float] = scores, draws: Int = 4000) throws -> [Int] {
        var sampler = try Sampler(options, prompt: [])
        let tensor = try Tensor(scores)
        var counts = [Int](repeating: 0, count: scores.count)
        for step in 0..<draws { counts[Int(try sampler.next(tensor, step: step))] += 1 }
        return counts
    }

    @Test func temperatureZeroTakesTheLikeliest() throws {
        #expect(try counts(.greedy, draws: 20) == [0, 0, 0, 0, 0, 20, 0, 0])
        #expect(try counts(SamplingOptions(temperature: 3, topK: 1), draws: 20)[5] == 20)
        #expect(try counts(SamplingOptions(temperature: 3, topP: 1e-9), draws: 20)[5] == 20)
        // Of equal scores the first.
        #expect(try counts(.greedy, [1, 3, 3], draws: 3) == [0, 3, 0])
    }

    @Test(arguments: [0.5, 1, 2.5]) func theDistributionIsTheSoftmax(_ temperature: Double) throws {
        let draws = 20_000
        let counts = try counts(SamplingOptions(temperature: temperature, seed: 8), draws: draws)
        let weights = Self.scores.map { exp(Double($0) / temperature) }
        let total = weights.reduce(0, +)
        var chiSquare = 0.0
        for (count, weight) in zip(counts, weights) {
            let expected = weight / total * Double(draws)
            chiSquare += pow(Double(count) - expected, 2) / max(expected, 1)
        }
        // 7 degrees of freedom: beyond 30 once in ten thousand seeds, and the seed is fixed.
        #expect(chiSquare < 30, "\(counts)")
    }

    @Test func topKConsidersTheLikeliest() throws {
        let three = try counts(SamplingOptions(temperature: 5, topK: 3, seed: 1))
        #expect(three.indices.filter { three[$0] > 0 } == [1, 3, 5])
        for all in [nil, 0, 8, 100] {
            #expect(try counts(SamplingOptions(temperature: 5, topK: all, seed: 1)).allSatisfy { $0 > 0 })
        }
    }

    @Test func topPConsidersWhatTogetherReachesIt() throws {
        let weights = Self.scores.map { exp(Double($0)) }, total = weights.reduce(0, +)
        let order = Self.scores.indices.sorted { Self.scores[$0] > Self.scores[$1] }
        for share in [0.1, 0.5, 0.7, 0.9, 0.99] {
            var sum = 0.0, kept: Set<Int> = []
            for index in order where sum < share {
                kept.insert(index)
                sum += weights[index] / total
            }
            let found = try counts(SamplingOptions(temperature: 1, topP: share, seed: 2), draws: 20_000)
            #expect(Set(found.indices.filter { found[$0] > 0 }) == kept, "\(share)")
        }
    }

    @Test func aPenaltyLowersWhatOccurred() throws {
        let tensor = try Tensor(Self.scores)
        // 2.5 / 2 and 2 / 2 are below 1.5; of negative scores the penalty makes more negative ones.
        var sampler = try Sampler(SamplingOptions(repetitionPenalty: 2), prompt: [5])
        #expect(try (0..<3).map { try sampler.next(tensor, step: $0) } == [1, 3, 5])
        var negative = try Sampler(SamplingOptions(repetitionPenalty: 2), prompt: [0])
        #expect(try negative.next(Tensor([-1, -1.5] as [Float]), step: 0) == 1)
        var none = try Sampler(SamplingOptions(), prompt: [5])
        #expect(try none.next(tensor, step: 0) == 5)
        // Ids outside the scores do no harm.
        var far = try Sampler(SamplingOptions(repetitionPenalty: 2), prompt: [-1, 900, .max, .min])
        #expect(try far.next(tensor, step: 0) == 5)
    }

    @Test func aSeedRepeatsItself() throws {
        func draws(_ seed: UInt64) throws -> [Int32] {
            var sampler = try Sampler(SamplingOptions(temperature: 2, seed: seed), prompt: [])
            return try (0..<50).map { try sampler.next(Tensor(Self.scores), step: $0) }
        }
        #expect(try draws(1) == draws(1))
        #expect(try draws(1) != draws(2))
    }

    @Test func theTypeOfTheScoresDoesNotMatter() throws {
        for dtype: DType in [.float32, .bfloat16, .float16, .float64] {
            var sampler = try Sampler(.greedy, prompt: [])
            #expect(try sampler.next(Tensor(Self.scores).to(dtype), step: 0) == 5)
        }
    }

    @Test func scoresThatAreNotNumbersAreErrors() throws {
        for scores: [Float] in [[.nan, .nan], [.infinity, 1], [-.infinity, -.infinity], [], [1, .nan]] {
            for options in [SamplingOptions.greedy, SamplingOptions(temperature: 1)] {
                var sampler = try Sampler(options, prompt: [])
                #expect(throws: GenerationError.notFinite(step: 3), "\(scores)") {
                    try sampler.next(Tensor(scores), step: 3)
                }
            }
        }
        // One token that is ruled out is no fault.
        var sampler = try Sampler(SamplingOptions(temperature: 1, topP: 0.9), prompt: [])
        #expect(try sampler.next(Tensor([-.infinity, 1] as [Float]), step: 0) == 1)
    }

    @Test func numbersThatMeanNothingAreErrors() {
        for options in [
            SamplingOptions(temperature: -1), SamplingOptions(temperature: .nan), SamplingOptions(temperature: 101),
            SamplingOptions(topP: 0), SamplingOptions(topP: 1.1), SamplingOptions(topP: .nan),
            SamplingOptions(topK: -1),
            SamplingOptions(repetitionPenalty: 0), SamplingOptions(repetitionPenalty: .infinity),
        ] {
            #expect(throws: GenerationError.self) { try Sampler(options, prompt: []) }
        }
    }
}
