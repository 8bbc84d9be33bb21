import Foundation
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Muon")
struct MuonTests {
    private static let names = ["wide", "tall", "square"]

    @Test("Steps are torch.optim.Muon's")
    func parity() throws {
        let file = try SafetensorsFile(path: Fixtures.goldens.appending(path: "muon_small/golden.safetensors").path)
        let parameters = try Self.names.map { Parameter(name: $0, tensor: try file.tensor("\($0).0").clone()) }
        let optimizer = try Optimizer(
            parameters, dtype: .float32, settings: AdamWOptions(rate: 1, weightDecay: 0.1), kind: .muon,
            orthogonalizes: { _ in true })
        for step in 1...4 {
            try optimizer.zeroGradients()
            try optimizer.add(Self.names.map { try file.tensor("\($0).gradient.\(step)") })
            let before = try parameters.map { try $0.tensor.detach().clone() }
            try optimizer.step(rate: 2e-2)
            for (parameter, before) in zip(parameters, before) {
                let expected = try file.tensor("\(parameter.name).\(step)")
                let found = try parameter.tensor.detach()
                // The iteration is in bf16 and rounds at other places; errors of four steps add up.
                let size = try (found - before).norm().item()
                #expect(try (found - expected).norm().item() < 0.05 * size, "\(parameter.name) after \(step)")
            }
        }
    }

    @Test("Updates have singular values of about 1, however long a matrix is")
    func orthogonal() throws {
        for (rows, columns) in [(8, 64), (32, 32), (1, 16)] {
            let random = try RandomGenerator(seed: 3)
            let updates = try OrthogonalMomentum.orthogonalized(
                (0..<3).map { try random.normal([rows, columns]) * [1, 1e-6, 1e6][$0] }
            ).to(.float32)
            #expect(updates.shape == [3, rows, columns])
            for index in 0..<3 {
                let update = try updates.select(0, index), gram = try update.matmul(update.transpose(0, 1))
                let diagonal = try (0..<rows).map { try gram.select(0, $0).select(0, $0).item() }
                #expect(diagonal.allSatisfy { (0.2...1.6).contains($0) }, "\(rows) × \(columns): \(diagonal)")
            }
        }
        let none = try OrthogonalMomentum.orthogonalized([Tensor.zeros([4, 4])])
        #expect(try none.to(.float32).abs().amax().item() == 0)
    }

    @Test("A resumed run equals one that was not stopped, bit for bit; AdamW takes embeddings and norms")
    func resume() throws {
        let overrides = ["stages.first.optimizer=muon", "stages.second.optimizer=muon"]
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let straight = try run(tinyRecipe(whole, overrides))
        #expect(straight.steps[3].report.loss < straight.steps[0].report.loss)
        try run(tinyRecipe(parts, overrides), stop: 2)
        try run(tinyRecipe(parts, overrides), resume: true)
        for name in ["model.safetensors", "training/optimizer.safetensors"] {
            func bytes(_ folder: TemporaryFolder) throws -> Data {
                try Data(contentsOf: folder.url.appending(path: "run/step-000007/\(name)"))
            }
            #expect(try bytes(whole) == bytes(parts), "\(name)")
        }
        let state = try SafetensorsFile(path: parts.path("run/step-000004/training/optimizer.safetensors"))
        let second = Set(state.names.filter { $0.hasPrefix("second.") })
        #expect(second.contains("second.model.embed_tokens.weight") && second.contains("second.model.norm.weight"))
        #expect(!second.contains { $0.hasSuffix("q_proj.weight") || $0.hasSuffix("attn.qkv.weight") })
        #expect(state.names.contains { $0.hasPrefix("first.") && $0.hasSuffix("q_proj.weight") })
    }

    @Test("Both matrices of adapters take its steps, and lengths of rows AdamW's")
    func adapters() throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let lora = "{rank: 4, dora: true}", muon = ["stages.adapters.optimizer=muon"]
        let straight = try trainedRun(adapterRecipe(whole, lora, muon)).0
        #expect(straight.steps[3].report.loss < straight.steps[0].report.loss)
        try trainedRun(adapterRecipe(parts, lora, muon), stop: 2)
        try trainedRun(adapterRecipe(parts, lora, muon), resume: true)
        func state(_ folder: TemporaryFolder) -> URL {
            folder.url.appending(path: "run/step-000004/training/optimizer.safetensors")
        }
        #expect(try Data(contentsOf: state(whole)) == Data(contentsOf: state(parts)))
        let names = try SafetensorsFile(path: state(whole).path).names
        let second = names.filter { $0.hasPrefix("second.") }
        #expect(!second.isEmpty && second.allSatisfy { $0.hasSuffix(LowRankAdapters.magnitudeName) })
        #expect(names.contains { $0.hasPrefix("first.") && $0.hasSuffix(LowRankAdapters.downSuffix) })
    }

    @Test("Plans count what it holds, and what does not go with it is refused")
    func plans() throws {
        let folder = try TemporaryFolder()
        func recipe(_ overrides: [String]) throws -> Recipe {
            try tinyRecipe(folder, ["stages.first.optimizer=muon"] + overrides).recipe
        }
        let plan = try RunPlan(recipe([]), .init(#require(Accelerator.named("h100")), devices: 1)).stages[0]
        let store = try TinyModel().model.store
        let matrices = store.parameters.filter {
            $0.isOrthogonalizable && !$0.name.contains("embed_tokens") && !$0.name.contains("lm_head")
        }
        let learned = matrices.reduce(0) { $0 + $1.count }
        #expect(learned > plan.learning / 2)
        #expect(plan.memory.optimizer == Double(12 * plan.learning - 4 * learned))
        #expect(try recipe([]).unsupported().isEmpty)
        #expect(try recipe(["sharding={kind: full}", "parallel={tensor: 2}"]).unsupported().isEmpty)
        #expect(try recipe(["stages.first.memory={moment_bits: 8}"]).unsupported().count == 1)
    }
}
