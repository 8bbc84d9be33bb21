import Foundation
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Adapters over a base in 4 bits, and with lengths of their own")
struct QuantizedBaseTests {
    private static let kinds = [
        "{rank: 4, base_bits: 4, dropout: 0.1}", "{rank: 4, dora: true, dropout: 0.1}",
        "{rank: 4, dora: true, base_bits: 4}",
    ]

    @Test("They learn, and a resumed run equals one that was not stopped, bit for bit", arguments: kinds)
    func resume(_ lora: String) throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder(), less = try TemporaryFolder()
        let straight = try trainedRun(adapterRecipe(whole, lora)).0
        #expect(straight.steps[3].report.loss < straight.steps[0].report.loss)
        try trainedRun(adapterRecipe(parts, lora), stop: 2)
        try trainedRun(adapterRecipe(parts, lora), resume: true)
        let memory = ["stages.adapters.memory={recompute: [tower, decoder]}", "threads=2"]
        try trainedRun(adapterRecipe(less, lora, memory))
        func bytes(_ folder: TemporaryFolder) throws -> [Data] {
            try ["adapter_model.safetensors", "training/optimizer.safetensors"].map {
                try Data(contentsOf: folder.url.appending(path: "run/step-000004/\($0)"))
            }
        }
        #expect(try bytes(whole) == bytes(parts))
        #expect(try bytes(whole) == bytes(less))
    }

    @Test("Blocks' matrices below adapters are held in 4 bits, and nothing else is", arguments: [nil, "decoder"])
    func held(_ on: String?) throws {
        let folder = try TemporaryFolder()
        let lora = "{rank: 4, base_bits: 4\(on.map { ", on: [\($0)]" } ?? "")}"
        let (_, trainer) = try trainedRun(adapterRecipe(folder, lora), stop: 1)
        let blocks = Set(trainer.model.store.blocks.joined().map(\.name))
        var count = 0
        for parameter in trainer.model.store.parameters {
            let isExpected = parameter.adapter != nil && blocks.contains(parameter.name)
            #expect((parameter.quantized != nil) == isExpected, "\(parameter.name)")
            count += isExpected ? 1 : 0
            if on != nil, parameter.name.hasPrefix("visual.") { #expect(!isExpected) }
        }
        #expect(count > 10)
    }

    @Test("Gradients of adapters equal those over the base's rounded values", arguments: [false, true])
    func gradients(_ isDecomposed: Bool) throws {
        func gradients(_ isQuantized: Bool) throws -> (Double, [String: [Double]]) {
            let description = try ModelFolder(TinyModel.folder)
            func isPacked(_ name: String) -> Bool { name.hasSuffix("_proj.weight") || name.hasSuffix("fc1.weight") }
            let packed = try description.loadModel(dtype: .float32) { isPacked($0) }
            let model = isQuantized ? packed : try description.loadModel(dtype: .float32, writable: true)
            if !isQuantized {
                for parameter in packed.store.parameters where parameter.quantized != nil {
                    try #require(model.store[parameter.name]).tensor = try parameter.value()
                }
            }
            let adapters = try LowRankAdapters(
                attachingTo: model.store.parameters.filter(\.isLinear),
                .init(rank: 3, alpha: 6, isWeightDecomposed: isDecomposed),
                store: ParameterStore(.random(seed: 2), writable: true))
            for parameter in adapters.store.parameters where parameter.name.hasSuffix(LowRankAdapters.upSuffix) {
                try RandomGenerator(seed: 9).normal(parameter.tensor, standardDeviation: 0.3)
            }
            let optimizer = try Optimizer(
                adapters.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 1e-3))
            let step = TrainingStep(model: model, optimizer: optimizer)
            let loss = try step.accumulate([TinyModel().sequences(0..<3)]).loss
            return (loss, try optimizer.gradients())
        }
        let packed = try gradients(true), plain = try gradients(false)
        #expect(abs(packed.0 - plain.0) < 1e-6 * plain.0)
        for (name, values) in plain.1 {
            #expect(relativeDifference(values, packed.1[name] ?? []) < 1e-4, "\(name)")
        }
        #expect(plain.1.count == packed.1.count && plain.1.count > 60)
    }

    @Test("A checkpoint with lengths opens as what was trained, and merged it answers the same")
    func opens() throws {
        let folder = try TemporaryFolder()
        let (recorder, trainer) = try trainedRun(adapterRecipe(folder, "{rank: 4, dora: true}", precision: "f32"))
        // New adapters change nothing: the first step's loss is that without them.
        let other = try TemporaryFolder()
        let plain = try trainedRun(adapterRecipe(other, "{rank: 4}", precision: "f32"), stop: 1).0
        #expect(abs(recorder.steps[0].report.loss - plain.steps[0].report.loss) < 1e-5)
        let checkpoint = folder.url.appending(path: "run/step-000004")
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
        let lengths = try #require(trainer.adapters).store.parameters.filter {
            $0.name.hasSuffix(LowRankAdapters.magnitudeName)
        }
        #expect(lengths.count == trainer.adapters?.targets.count)
        #expect(recorder.stages[0].learning == trainer.adapters?.store.parameters.reduce(0) { $0 + $1.count })
    }

    @Test("Where the base would change 4 bits are refused with their key")
    func refusals() throws {
        let folder = try TemporaryFolder()
        let lora = "{rank: 4, base_bits: 4}"
        func problems(_ overrides: [String]) throws -> [String] {
            try adapterRecipe(folder, lora, overrides).recipe.unsupported()
        }
        #expect(try problems([]).isEmpty)
        let random = try problems(["model={random: \(TinyModel.folder.path)}"])
        #expect(random.count == 1 && random[0].hasPrefix("stages.adapters.lora.base_bits:"))
        #expect(try problems(["sharding={kind: full}"]).isEmpty)
        #expect(
            try tinyRecipe(folder, ["stages.second.train=null", "stages.second.lora=\(lora)"])
                .recipe.unsupported().count == 2)
        #expect(throws: RecipeError.self) { try adapterRecipe(folder, "{rank: 4, base_bits: 8}") }
    }
}
