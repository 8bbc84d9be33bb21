import Foundation
import NN
import Safetensors
import TestSupport
import Torch

@testable import Training

/// Runs `body` on ranks that are threads of this process; one rank is a process that is alone.
func onRanks<Value: Sendable>(
    _ count: Int, timeout: Duration = .seconds(60), _ body: @escaping @Sendable (ProcessGroup) throws -> Value
) throws -> [Value] {
    let port = try Ranks.freePort()
    return try Ranks.run(count) { rank in
        Engine.threads = 1
        guard count > 1 else { return try body(.alone) }
        let group = try ProcessGroup(
            joining: ProcessPlace(rank: rank, size: count, port: port), timeout: timeout)
        do {
            // Whoever ends at once must not cut off those that are still connecting.
            try group.barrier()
            return try body(group)
        } catch {
            group.leave(because: error)
            throw error
        }
    }.map { try $0.get() }
}

/// What a rank's run told and how it ended.
struct RankRun: Sendable {
    var outcome: RecipeOutcome
    var losses: [Double]
    var norms: [Double]
    var steps: Int
    var evaluations: [Double]
    var imbalances: [Double?]
    /// The ids of each step's samples, as this rank packed them.
    var samples: [[[String]]]
}

/// Runs a recipe on so many ranks, until `stop` steps are done on the last rank, which alone is asked to stop.
func train(
    _ loaded: Recipe.Loaded, ranks: Int, resume: Bool = false, stop: Int? = nil
) throws -> [RankRun] {
    try onRanks(ranks) { group in
        let recorder = Recorder()
        let trainer = try Trainer(loaded, resume: resume, observer: recorder, group: group)
        trainer.shouldStop = { step in group.rank == ranks - 1 && stop.map { step >= $0 } ?? false }
        var samples: [[[String]]] = []
        trainer.didPack = { samples.append($0) }
        let outcome = try trainer.run()
        return RankRun(
            outcome: outcome, losses: recorder.steps.map(\.report.loss),
            norms: recorder.steps.map(\.report.gradientNorm), steps: trainer.step,
            evaluations: recorder.evaluations.map(\.loss), imbalances: recorder.steps.map(\.report.imbalance),
            samples: samples)
    }
}

/// A recipe of two stages in float32, the second with a frozen tower and an evaluation, with four micro-batches a step.
func rankRecipe(
    _ folder: TemporaryFolder, steps: (Int, Int) = (2, 2), optimizer: Recipe.OptimizerKind = .adamw,
    _ overrides: [String] = []
) throws -> Recipe.Loaded {
    let data = "data: [{synthetic: {seed: 9, sides: [112, 140], difficulty: 0}}]"
    let steered = ["first", "second"].flatMap { stage in
        // With a small epsilon AdamW makes whole steps of gradients that are nothing but rounding; so do the others.
        let settings =
            optimizer == .adamw ? ["epsilon=0.1", "learning_rate=0.03"] : ["learning_rate=0.001"]
        return (settings + ["optimizer=\(optimizer.rawValue)"]).map { "stages.\(stage).\($0)" }
    }
    return try tinyRecipe(
        folder,
        steered + [
            "precision=f32", "keep=30", "stages.first.steps=\(steps.0)", "stages.second.steps=\(steps.1)",
            "stages.first.batch={tokens: 900, max_samples: 2, accumulation: 4, look_ahead: 6}",
            "stages.second.batch={tokens: 900, max_samples: 2, accumulation: 4, look_ahead: 6}",
            "held_out={samples: 4, \(data)}", "stages.second.evaluate_every=\(steps.1)",
        ] + overrides)
}

/// Every tensor of a checkpoint, by its file and name.
func checkpointTensors(_ folder: TemporaryFolder, _ step: Int) throws -> [String: [Double]] {
    var result: [String: [Double]] = [:]
    for name in ["model.safetensors", "adapter_model.safetensors", "training/optimizer.safetensors"] {
        let path = folder.url.appending(path: "run/\(CheckpointStore.name(step))/\(name)").path
        guard FileManager.default.fileExists(atPath: path) else { continue }
        let file = try SafetensorsFile(path: path)
        for key in file.names { result["\(name):\(key)"] = try file.tensor(key).doubles() }
    }
    return result
}

func largestDifference(_ a: [Double], _ b: [Double]) -> Double {
    zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
}
