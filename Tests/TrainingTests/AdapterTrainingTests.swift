import Foundation
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Training adapters")
struct AdapterTrainingTests {
    private static let lora = "{rank: 4, alpha: 8, dropout: 0.1, on: [tower, merger, model.layers.*]}"

    /// The tiny recipe with adapters in its second stage, and a third stage behind it.
    private func recipe(_ output: TemporaryFolder, _ overrides: [String] = []) throws -> Recipe.Loaded {
        let text = """
            name: tiny
            model: {random: \(TinyModel.folder.path)}
            seed: 3
            precision: bf16
            output: \(output.path("run"))
            stages:
              - name: first
                train: all
                steps: 1
                learning_rate: 1.0e-3
                batch: &batch {tokens: 900, max_samples: 3, accumulation: 2, look_ahead: 5}
                data: &data
                  - synthetic: {seed: 1, sides: [112, 140], difficulty: 0, tasks: {color: 1, count: 1}}
              - name: adapters
                lora: \(Self.lora)
                steps: 4
                learning_rate: 1.0e-2
                multiples: {tower: 0.5, "*.lora_B.weight": 2}
                checkpoint_every: 2
                batch: *batch
                data: *data
              - name: last
                train: [merger]
                steps: 1
                learning_rate: 1.0e-3
                batch: *batch
                data: *data
            """
        return try Recipe.parse(text, file: "tiny.yaml", folder: output.url, overrides: overrides)
    }

    /// A single stage of adapters over the golden checkpoint.
    private func single(_ output: TemporaryFolder, precision: String = "f32", dropout: Double = 0) throws
        -> Recipe.Loaded
    {
        try adapterRecipe(
            output, "{rank: 4, dropout: \(dropout)}", precision: precision, ["stages.adapters.steps=5"])
    }

    private func bytes(_ folder: TemporaryFolder, _ names: [String]) throws -> [Data] {
        try names.map { try Data(contentsOf: folder.url.appending(path: "run/\($0)")) }
    }

    @Test(
        "A run with adapters and dropout that was stopped and resumed equals one that was not, bit for bit",
        arguments: [1, 2, 3, 4, 5])
    func resume(_ stop: Int) throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let straight = try trainedRun(recipe(whole)).0
        let first = try trainedRun(recipe(parts), stop: stop).0
        let second = try trainedRun(recipe(parts), resume: true).0
        #expect((first.steps + second.steps).map(\.report.loss) == straight.steps.map(\.report.loss))
        let final = ["step-000006/model.safetensors", "step-000006/training/optimizer.safetensors"]
        #expect(try bytes(whole, final) == bytes(parts, final))
    }

    @Test("Threads change no bit of dropout")
    func threads() throws {
        let one = try TemporaryFolder(), many = try TemporaryFolder()
        try trainedRun(recipe(one, ["threads=2"]))
        try trainedRun(recipe(many, ["threads=2", "workers=3"]))
        let files = ["step-000005/adapter_model.safetensors", "step-000006/model.safetensors"]
        #expect(try bytes(one, files) == bytes(many, files))
    }

    @Test("Only adapters learn; what is frozen stays as it is, bit for bit", arguments: ["f32", "bf16"])
    func frozen(_ precision: String) throws {
        let folder = try TemporaryFolder()
        let (recorder, trainer) = try trainedRun(single(folder, precision: precision))
        #expect(recorder.steps.count == 5 && recorder.steps[4].report.loss < recorder.steps[0].report.loss)
        let before = try ModelFolder(TinyModel.folder).loadModel(dtype: trainer.recipe.precision.dtype)
        for parameter in trainer.model.store.parameters {
            #expect(try parameter.tensor.isEqual(to: #require(before.store[parameter.name]).tensor))
            #expect(!parameter.tensor.requiresGradient)
        }
        let adapters = try #require(trainer.adapters)
        #expect(adapters.targets.contains { $0.name.hasPrefix("visual.") })
        #expect(!adapters.targets.contains { $0.name.hasPrefix("lm_head") })
        // Master, two moments for each number that learns, a step count for each group, and nothing for the rest.
        let state = try SafetensorsFile(path: folder.path("run/step-000005/training/optimizer.safetensors"))
        #expect(state.names.count == 3 * adapters.store.parameters.count + 1)
        let learned = recorder.stages[0].learning
        #expect(learned == adapters.store.parameters.reduce(0) { $0 + $1.count })
        #expect(recorder.stages[0].parts.reduce(0) { $0 + $1.learning } == learned)
    }

    @Test("A checkpoint of adapters opens as a model, and merged it answers the same")
    func merged() throws {
        let folder = try TemporaryFolder()
        let trainer = try trainedRun(single(folder)).1
        let checkpoint = folder.url.appending(path: "run/step-000005")
        #expect(!FileManager.default.fileExists(atPath: checkpoint.appending(path: "model.safetensors").path))
        let report = try AdapterMerge.write(ModelFolder(checkpoint), to: folder.url.appending(path: "merged"))
        #expect(report.merged == trainer.adapters?.targets.count)
        let sequences = try TinyModel().sequences(0..<3)
        func logits(_ model: VisionLanguageModel) throws -> [Double] {
            try withoutGradient { try model.logits(model.hiddenStates(ModelInput(sequences))).doubles() }
        }
        let trained = try logits(trainer.model)
        #expect(try logits(ModelFolder(checkpoint).loadModel()) == trained)
        let merged = try ModelFolder(folder.url.appending(path: "merged")).loadModel()
        #expect(try relativeDifference(logits(merged), trained) < 1e-4)
        let base = try ModelFolder(TinyModel.folder).loadModel()
        #expect(try relativeDifference(logits(base), trained) > 1e-2)
        // What no adapter touches keeps its bytes.
        let untouched = try #require(base.store["model.embed_tokens.weight"])
        #expect(try untouched.tensor.isEqual(to: #require(merged.store[untouched.name]).tensor))
        #expect(throws: (any Error).self) {
            try AdapterMerge.write(ModelFolder(checkpoint), to: folder.url.appending(path: "merged"))
        }
        let again = try TemporaryFolder()
        let error = try #require(throws: CheckpointError.self) {
            let text = try single(again).text.replacingOccurrences(of: TinyModel.folder.path, with: checkpoint.path)
            try trainedRun(Recipe.parse(text, file: "again.yaml", folder: again.url))
        }
        #expect("\(error)".contains("omma merge"))
    }

    @Test("Patterns without a linear layer, and parts beside adapters, are refused")
    func refusals() throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: TrainingError.self) {
            try trainedRun(recipe(folder, ["stages.first.lora={rank: 2, on: [embedding]}", "stages.first.train=null"]))
        }
        #expect("\(error)".contains("embedding"))
        #expect(throws: RecipeError.self) { try recipe(folder, ["stages.adapters.train=all"]) }
        #expect(throws: RecipeError.self) { try recipe(folder, ["stages.adapters.lora={rank: 0}"]) }
        #expect(throws: RecipeError.self) { try recipe(folder, ["stages.adapters.lora={alpha: 3}"]) }
    }
}
