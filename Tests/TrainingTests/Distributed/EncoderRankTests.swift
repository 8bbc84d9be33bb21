import Foundation
import TestSupport
import Testing
import Torch

@testable import Training

/// Encoders that several ranks train together.
@Suite("Encoders on several ranks", .serialized, .inTurn)
struct EncoderRankTests {
    private func recipe(_ name: String, _ folder: TemporaryFolder, _ more: [String] = []) throws -> Recipe.Loaded {
        try EncoderTrainerTests.load(
            name,
            [
                "output=\(folder.path("run"))", "precision=f32", "threads=1", "keep=10", "stages.lesson.steps=4",
                "stages.lesson.evaluate_every=4", "held_out.samples=4",
                // With a small epsilon AdamW makes whole steps of gradients that are nothing but rounding.
                "stages.lesson.epsilon=0.1", "stages.lesson.learning_rate=0.03",
                "stages.lesson.batch={tokens: 300, max_samples: 3, accumulation: 4}",
            ] + more)
    }

    private struct Run: Sendable {
        var losses: [Double]
        var evaluations: [Double]
        var pictures: [Int]
        var outcome: RecipeOutcome
    }

    /// - Parameter stop: steps after which the last rank alone is asked to stop.
    private func train(_ loaded: Recipe.Loaded, ranks: Int, resume: Bool = false, stop: Int? = nil) throws -> [Run] {
        try onRanks(ranks) { group in
            let recorder = Recorder()
            let trainer = try EncoderTrainer(loaded, resume: resume, observer: recorder, group: group)
            trainer.shouldStop = { step in group.rank == ranks - 1 && stop.map { step >= $0 } ?? false }
            let outcome = try trainer.run()
            return Run(
                losses: recorder.steps.map(\.report.loss), evaluations: recorder.evaluations.map(\.loss),
                pictures: recorder.steps.map(\.report.pictures), outcome: outcome)
        }
    }

    private func weights(_ folder: TemporaryFolder) throws -> Data {
        try Data(contentsOf: folder.url.appending(path: "run/step-000004/model.safetensors"))
    }

    @Test("Ranks train what one process trains", arguments: EncoderTrainerTests.small.keys.sorted())
    func together(_ name: String) throws {
        let alone = try TemporaryFolder()
        let one = try train(recipe(name, alone), ranks: 1)[0]
        #expect(one.losses.count == 4 && one.pictures.allSatisfy { $0 > 4 })
        for (ranks, more) in [(2, []), (4, []), (2, ["sharding={kind: gradients}"])] {
            let shared = try TemporaryFolder()
            let runs = try train(recipe(name, shared, more), ranks: ranks)
            // Rank 0 alone speaks.
            #expect(runs.dropFirst().allSatisfy { $0.losses.isEmpty })
            #expect(runs[0].pictures == one.pictures)
            for (a, b) in zip(runs[0].losses + runs[0].evaluations, one.losses + one.evaluations) {
                #expect(abs(a - b) <= 1e-5 * max(1, abs(b)), "\(ranks) \(more): \(runs[0].losses) for \(one.losses)")
            }
            #expect(runs.allSatisfy { $0.outcome == .finished(checkpoint: shared.path("run/step-000004")) })
            #expect(try weights(shared).count == weights(alone).count)
        }
    }

    @Test("Ranks that stopped go on to the same bits, one request stops all, and uneven shares are refused")
    func resumes() throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        _ = try train(recipe("navit", whole), ranks: 2)
        let stopped = try train(recipe("navit", parts), ranks: 2, stop: 2)
        #expect(
            stopped.allSatisfy {
                if case .stopped(let checkpoint, _) = $0.outcome { checkpoint.hasSuffix("step-000002") } else { false }
            })
        _ = try train(recipe("navit", parts), ranks: 2, resume: true)
        #expect(try weights(whole) == weights(parts))
        let uneven = try TemporaryFolder()
        let error = #expect(throws: (any Error).self) {
            try train(recipe("navit", uneven, ["stages.lesson.batch.accumulation=3"]), ranks: 2)
        }
        #expect("\(String(describing: error))".contains("multiple of 2"), "\(String(describing: error))")
        #expect(
            try recipe("navit", uneven, ["sharding={kind: full}"]).recipe.unsupported().contains {
                $0.contains("as far as gradients")
            })
    }
}
