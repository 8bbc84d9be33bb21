import Foundation
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Means of weights over steps")
struct AverageTests {
    private static let overrides = ["stages.first.ema={decay: 0.8}", "stages.second.ema={decay: 0.5}", "keep=20"]

    @Test("The mean follows the weights by its definition, and resumes to the bit", arguments: [2, 5])
    func definition(_ stop: Int) throws {
        let overrides = Self.overrides + ["stages.first.checkpoint_every=1", "stages.second.checkpoint_every=1"]
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        try run(tinyRecipe(whole, overrides))
        try run(tinyRecipe(parts, overrides), stop: stop)
        try run(tinyRecipe(parts, overrides), resume: true)
        for name in ["model.safetensors", "ema/model.safetensors", "training/optimizer.safetensors"] {
            func bytes(_ folder: TemporaryFolder) throws -> Data {
                try Data(contentsOf: folder.url.appending(path: "run/step-000007/\(name)"))
            }
            #expect(try bytes(whole) == bytes(parts), "\(name)")
        }
        // From the masters of each step of the second stage, which begins with those of the first stage's end.
        func state(_ step: Int) throws -> SafetensorsFile {
            try SafetensorsFile(path: whole.path("run/\(CheckpointStore.name(step))/training/optimizer.safetensors"))
        }
        let name = try #require(state(7).names.first { $0.hasPrefix("average.") && $0.hasSuffix("q_proj.weight") })
        let parameter = name.dropFirst("average.".count)
        var mean = try state(4).tensor("master.\(parameter)").doubles()
        for step in 5...7 {
            mean = zip(mean, try state(step).tensor("master.\(parameter)").doubles()).map { 0.5 * $0 + 0.5 * $1 }
            #expect(try relativeDifference(mean, state(step).tensor(name).doubles()) < 1e-5, "step \(step)")
        }
        let own = try SafetensorsFile(path: whole.path("run/step-000007/model.safetensors"))
        let averaged = try SafetensorsFile(path: whole.path("run/step-000007/ema/model.safetensors"))
        let stored = try averaged.tensor(String(parameter))
        #expect(try relativeDifference(stored.doubles(), mean) < 1e-2)
        #expect(try !stored.isEqual(to: own.tensor(String(parameter))))
        // What the second stage freezes is the same in both.
        #expect(Set(own.names) == Set(averaged.names))
        let frozen = try #require(own.names.first { $0.contains("visual.blocks.0") && $0.hasSuffix("qkv.weight") })
        #expect(try own.tensor(frozen).isEqual(to: averaged.tensor(frozen)))
    }

    @Test("The averaged model opens like any other, and so does the mean of a run's checkpoints")
    func opens() throws {
        let folder = try TemporaryFolder()
        try run(tinyRecipe(folder, Self.overrides + ["stages.second.checkpoint_every=1"]))
        let output = folder.url.appending(path: "run")
        let sequences = try TinyModel().sequences(0..<2)
        func loss(_ url: URL) throws -> Double {
            let model = try ModelFolder(url).loadModel()
            return try #require(withoutGradient { try model.lossSum(sequences)?.item() })
        }
        let last = output.appending(path: "step-000007")
        let averaged = try loss(last.appending(path: "ema")), own = try loss(last)
        #expect(averaged.isFinite && averaged != own)
        let steps = (5...7).map { output.appending(path: CheckpointStore.name($0)) }
        let soup = folder.url.appending(path: "soup")
        #expect(try ModelSoup(steps).write(to: soup).tensors > 50)
        let mixed = try loss(soup)
        #expect(mixed.isFinite && mixed != own)
        // One may go on from it as from any checkpoint.
        let again = try tinyRecipe(
            folder, ["model={checkpoint: \(last.path)/ema}", "output=\(folder.path("again"))", "stages.first.steps=1"])
        #expect(try run(again, stop: 1).steps.count == 1)
    }

    @Test("Adapters are averaged, too")
    func adapters() throws {
        let folder = try TemporaryFolder()
        let text = """
            name: single
            model: {checkpoint: \(TinyModel.folder.path)}
            output: \(folder.path("run"))
            stages:
              - name: adapters
                lora: {rank: 4}
                ema: {decay: 0.5}
                steps: 3
                learning_rate: 1.0e-2
                batch: {tokens: 900, max_samples: 3}
                data:
                  - synthetic: {seed: 1, sides: [112, 140], difficulty: 0, tasks: {color: 1}}
            """
        try run(Recipe.parse(text, file: "single.yaml", folder: folder.url))
        let last = folder.url.appending(path: "run/step-000003")
        let own = try ModelFolder(last).loadModel(), mean = try ModelFolder(last.appending(path: "ema")).loadModel()
        let name = try #require(own.store.parameters.first { $0.adapter != nil }?.name)
        let a = try #require(own.store[name]?.adapter), b = try #require(mean.store[name]?.adapter)
        #expect(try a.up.tensor.abs().amax().item() > b.up.tensor.abs().amax().item())
        #expect(try b.up.tensor.abs().amax().item() > 0)
    }

    @Test(
        "Ranks that hold shares of the state average as one does", .inTurn, arguments: [ShardingKind.optimizer, .full])
    func sharded(_ kind: ShardingKind) throws {
        let alone = try TemporaryFolder(), shared = try TemporaryFolder()
        func recipe(_ folder: TemporaryFolder, _ kind: ShardingKind) throws -> Recipe.Loaded {
            try tinyRecipe(
                folder,
                Self.overrides + [
                    "precision=f32", "sharding={kind: \(kind.rawValue)}", "stages.first.steps=2",
                    "stages.second.steps=1", "stages.second.schedule.warmup_steps=0",
                    "stages.first.batch={tokens: 900, max_samples: 1, accumulation: 2}",
                    "stages.second.batch={tokens: 900, max_samples: 1, accumulation: 2}",
                ])
        }
        _ = try train(recipe(alone, .none), ranks: 1)
        _ = try train(recipe(shared, kind), ranks: 2)
        let one = try SafetensorsFile(path: alone.path("run/step-000003/ema/model.safetensors"))
        let two = try SafetensorsFile(path: shared.path("run/step-000003/ema/model.safetensors"))
        let own = try SafetensorsFile(path: alone.path("run/step-000003/model.safetensors"))
        #expect(one.names == two.names)
        var moved = 0, difference = 0.0, size = 0.0
        for name in one.names {
            let a = try one.tensor(name).doubles(), b = try two.tensor(name).doubles()
            // Single elements may differ: AdamW divides gradients of nearly nothing by their own size.
            for (x, y) in zip(a, b) { (difference, size) = (difference + (x - y) * (x - y), size + x * x) }
            if try own.tensor(name).doubles() != a { moved += 1 }
        }
        #expect(moved > 10 && (difference / size).squareRoot() < 1e-4)
    }

    @Test("Plans count it")
    func plans() throws {
        let folder = try TemporaryFolder()
        func memory(_ overrides: [String]) throws -> MemoryPlan {
            let recipe = try tinyRecipe(folder, overrides).recipe
            return try RunPlan(recipe, .init(#require(Accelerator.named("h100")), devices: 1)).stages[0].memory
        }
        #expect(try memory(Self.overrides).optimizer == memory([]).optimizer * 16 / 12)
        #expect(throws: RecipeError.self) { try tinyRecipe(folder, ["stages.first.ema={decay: 1}"]) }
    }
}
