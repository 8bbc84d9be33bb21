import Foundation
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Adafactor")
struct AdafactorTests {
    @Test("Steps are transformers'", arguments: [DType.float32, .bfloat16])
    func parity(_ dtype: DType) throws {
        let file = try SafetensorsFile(
            path: Fixtures.goldens.appending(path: "adafactor_small/golden.safetensors").path)
        let names = ["matrix", "vector", "kernel"]
        let masters = try Dictionary(uniqueKeysWithValues: names.map { ($0, try file.tensor("\($0).0").clone()) })
        let parameters = try names.map { Parameter(name: $0, tensor: try file.tensor("\($0).0").to(dtype).clone()) }
        let optimizer = try Optimizer(
            parameters, masters: masters, dtype: dtype, settings: AdamWOptions(rate: 1, weightDecay: 0.1),
            kind: .adafactor, decays: { _ in true })
        for step in 1...5 {
            try optimizer.zeroGradients()
            try optimizer.add(names.map { try file.tensor("\($0).gradient.\(step)") })
            try optimizer.step(rate: 1e-2)
            for parameter in parameters {
                let expected = try file.tensor("\(parameter.name).\(step)")
                let found = try parameter.tensor.detach().to(.float32)
                let tolerance = dtype == .float32 ? 1e-6 : 1e-2
                #expect(try (found - expected).abs().amax().item() < tolerance, "\(parameter.name) after \(step)")
            }
        }
        let values = try optimizer.release()
        for name in names {
            #expect(try (#require(values[name]) - file.tensor("\(name).5")).abs().amax().item() < 1e-6)
        }
    }

    @Test("A resumed run equals one that was not stopped, bit for bit", arguments: [2, 5])
    func resume(_ stop: Int) throws {
        let overrides = ["stages.first.optimizer=adafactor", "stages.second.optimizer=adafactor"]
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let straight = try run(tinyRecipe(whole, overrides))
        #expect(straight.steps[3].report.loss < straight.steps[0].report.loss)
        try run(tinyRecipe(parts, overrides), stop: stop)
        try run(tinyRecipe(parts, overrides), resume: true)
        for name in ["model.safetensors", "training/optimizer.safetensors"] {
            func bytes(_ folder: TemporaryFolder) throws -> Data {
                try Data(contentsOf: folder.url.appending(path: "run/step-000007/\(name)"))
            }
            #expect(try bytes(whole) == bytes(parts), "\(name)")
        }
        let state = try SafetensorsFile(path: whole.path("run/step-000007/training/optimizer.safetensors"))
        #expect(!state.names.contains { $0.hasPrefix("first.") || $0.hasPrefix("second.") })
        #expect(state.names.contains { $0.hasPrefix("columns.") })
    }

    @Test("Plans count what it holds, and what does not go with it is refused")
    func plans() throws {
        let folder = try TemporaryFolder()
        func recipe(_ overrides: [String]) throws -> Recipe {
            try tinyRecipe(folder, ["stages.first.optimizer=adafactor"] + overrides).recipe
        }
        let plan = try RunPlan(recipe([]), .init(#require(Accelerator.named("h100")), devices: 1)).stages[0]
        let model = try TinyModel().model.store.parameters.filter { !$0.isConstant }
        let optimizer = try Optimizer(
            model, dtype: .float32, settings: AdamWOptions(rate: 1), kind: .adafactor)
        let factors = optimizer.groups.flatMap { $0.factored ?? [] }.flatMap(\.parts).reduce(0) { $0 + $1.tensor.count }
        #expect(plan.memory.optimizer == Double(4 * (plan.learning + factors)))
        #expect(factors < plan.learning / 10)
        #expect(try recipe([]).unsupported().isEmpty)
        #expect(try recipe(["sharding={kind: full}", "parallel={tensor: 2}"]).unsupported().isEmpty)
        #expect(try recipe(["stages.first.memory={moment_bits: 8}"]).unsupported().count == 1)
        let error = #expect(throws: RecipeError.self) { try recipe(["stages.first.betas=[0.9, 0.99]"]) }
        #expect("\(error!)".contains("betas"))
    }
}
