import Foundation
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

/// What stands between a recipe and a run that learns nothing.
@Suite struct LearningCheckTests {
    /// The check of the first stage of the tiny recipe, over a model that `change` may spoil.
    private func check(_ overrides: [String] = [], _ change: (VisionLanguageModel) throws -> Void = { _ in }) throws
        -> LearningCheck
    {
        let folder = try TemporaryFolder()
        let trainer = try Trainer(tinyRecipe(folder, overrides), resume: false, observer: Recorder())
        try withoutGradient { try change(trainer.model) }
        let runner = try trainer.makeRunner(0)
        defer { runner.stop() }
        return try runner.check(runner.nextBatch())
    }

    @Test func aGoodStageHasNothingAgainstIt() throws {
        let check = try check()
        #expect(check.problems(minSupervised: 0.005) == [])
        #expect(check.pictures > 0 && check.supervised > 0 && check.lossWithPictures != check.lossWithNoise)
    }

    @Test func aBlindModelIsFound() throws {
        let check = try check(["stages.first.train=[decoder]"]) { model in
            for name in ["visual.merger.mlp.2.weight", "visual.merger.mlp.2.bias"] {
                try #require(model.store[name]).tensor.fill(0)
            }
        }
        #expect(check.lossWithPictures == check.lossWithNoise)
        #expect(check.problems(minSupervised: 0).contains { $0.contains("does not see") })
    }

    @Test func whatGradientsDoNotReachIsNamed() throws {
        let check = try check { model in
            try #require(model.store["visual.merger.mlp.2.weight"]).tensor.fill(0)
        }
        #expect(check.unreached.contains { $0.hasPrefix("visual.blocks.") })
        #expect(check.problems(minSupervised: 0).contains { $0.contains("no gradient reaches") })
    }

    @Test func tooLittleToLearnStops() throws {
        let check = try check()
        #expect(check.problems(minSupervised: 0.99).contains { $0.contains("min_supervised") })
    }

    @Test func aRunStopsBeforeItsFirstStep() throws {
        let folder = try TemporaryFolder()
        let trainer = try Trainer(
            tinyRecipe(folder, ["stages.first.train=[decoder]", "min_supervised=0.99"]), resume: false,
            observer: Recorder())
        #expect(throws: TrainingError.self) { try trainer.run() }
        #expect(!folder.names.contains { $0.hasPrefix("step-") })
    }
}
