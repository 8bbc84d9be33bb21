import Data
import Foundation
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Less memory, the same gradients")
struct MemoryTests {
    private func gradients(
        _ memory: Recipe.Memory, dtype: DType = .float32, train: [String] = ["all"], adapters: Bool = false
    ) throws -> (loss: Double, gradients: [String: [Double]]) {
        let tiny = try TinyModel(dtype: dtype)
        var attached: LowRankAdapters?
        if adapters {
            let made = try LowRankAdapters(
                attachingTo: tiny.model.store.parameters.filter(\.isLinear), .init(rank: 3, alpha: 6, dropout: 0.3),
                store: ParameterStore(.random(seed: 2), dtype: dtype, writable: true))
            for parameter in made.store.parameters where parameter.name.hasSuffix(LowRankAdapters.upSuffix) {
                try RandomGenerator(seed: 9).normal(parameter.tensor, standardDeviation: 0.3)
            }
            attached = made
        }
        let optimizer =
            try attached.map { try Optimizer($0.store.parameters, dtype: dtype, settings: AdamWOptions(rate: 1e-3)) }
            ?? tiny.optimizer(train)
        let step = TrainingStep(model: tiny.model, optimizer: optimizer, memory: memory)
        let sequences = try tiny.sequences(0..<5)
        let report = try step.accumulate([Array(sequences[..<3]), Array(sequences[3...])], seed: adapters ? 4 : nil)
        return (report.loss, try optimizer.gradients())
    }

    @Test(
        "Blocks that are computed again give the same bits",
        arguments: [[ModelPart.visionTower], [.decoder], [.visionTower, .decoder]], [DType.float32, .bfloat16])
    func recomputed(_ parts: [ModelPart], _ dtype: DType) throws {
        let plain = try gradients(.init(), dtype: dtype)
        let again = try gradients(.init(recomputed: parts), dtype: dtype)
        #expect(again.loss == plain.loss)
        #expect(again.gradients == plain.gradients)
    }

    /// Blocks that do more than turn hidden states into hidden states: experts, whose balance is a loss of its own, and
    /// gated cross-attention, which all see the same columns.
    @Test("So do those with experts and with gated cross-attention", arguments: ["mm1-moe", "nvlm-x", "nvlm-h"])
    func special(_ name: String) throws {
        let output = try TemporaryFolder()
        let recipe = try Recipe.load(
            Fixtures.checkout.appending(path: "Recipes/nano/\(name).yaml"), overrides: ["output=\(output.path("run"))"])
        // Makes a folder of the configuration and the vocabulary.
        _ = try Trainer(recipe, resume: false, observer: Recorder())
        let folder = try ModelFolder(output.url.appending(path: "run/base"))
        let source = try SyntheticSource(SyntheticOptions(seed: 5, sides: 112...140, difficulty: 0))
        let sequences = try (0..<3).map {
            try folder.processor.process(source.sample(at: $0).conversation, .training)
        }
        func gradients(_ memory: Recipe.Memory) throws -> (loss: Double, gradients: [String: [Double]]) {
            let model = try folder.family.makeModel(
                ParameterStore(.random(seed: 1), dtype: .float32, writable: true))
            // Gates are closed at first, and let nothing through.
            for parameter in model.store.parameters where parameter.name.hasSuffix(".gate") {
                try withoutGradient { try parameter.tensor.fill(0.7) }
            }
            let optimizer = try Optimizer(
                model.store.parameters.filter { !$0.isConstant }, dtype: .float32, settings: AdamWOptions(rate: 1e-3))
            let step = TrainingStep(model: model, optimizer: optimizer, memory: memory)
            let report = try step.accumulate([Array(sequences[..<2]), [sequences[2]]], seed: nil)
            return (report.loss, try optimizer.gradients())
        }
        let plain = try gradients(.init())
        let again = try gradients(.init(recomputed: [.visionTower, .decoder]))
        #expect(again.loss == plain.loss)
        for (name, values) in plain.gradients {
            // Gradients of what several layers see are added up in another order.
            #expect(relativeDifference(values, again.gradients[name] ?? []) < 1e-5, "\(name)")
        }
        let special = plain.gradients.filter { $0.key.contains("experts") || $0.key.contains("cross") }
        #expect(special.count > 10 && special.values.count { $0.contains { $0 != 0 } } > special.count / 2)
        #expect(plain.gradients.filter { $0.key.hasSuffix(".gate.weight") || $0.key.hasSuffix(".gate") }.count > 1)
    }

    @Test("So they do with adapters, whose dropout is drawn again")
    func dropout() throws {
        let plain = try gradients(.init(), adapters: true)
        let again = try gradients(.init(recomputed: [.visionTower, .decoder]), adapters: true)
        #expect(again.loss == plain.loss)
        #expect(again.gradients == plain.gradients)
        #expect(plain.gradients.count > 60 && plain.gradients.values.allSatisfy { $0.contains { $0 != 0 } })
    }

    @Test("And where only some layers learn", arguments: [["merger"], ["model.layers.2.*"], ["tower"]])
    func frozen(_ train: [String]) throws {
        let plain = try gradients(.init(), train: train)
        let again = try gradients(.init(recomputed: [.visionTower, .decoder], lossRows: 7), train: train)
        #expect(Set(again.gradients.keys) == Set(plain.gradients.keys))
        for (name, values) in plain.gradients {
            #expect(relativeDifference(values, again.gradients[name] ?? []) < 1e-5, "\(name)")
        }
    }

    @Test("A loss in pieces is the loss in one", arguments: [1, 5, 16, 1000], [DType.float32, .bfloat16])
    func chunks(_ rows: Int, _ dtype: DType) throws {
        let plain = try gradients(.init(), dtype: dtype)
        let pieces = try gradients(.init(lossRows: rows), dtype: dtype)
        let tolerance = dtype == .float32 ? 1e-5 : 2e-2
        #expect(abs(pieces.loss - plain.loss) < tolerance * plain.loss)
        if dtype == .float32 {
            for (name, values) in plain.gradients {
                #expect(relativeDifference(values, pieces.gradients[name] ?? []) < tolerance, "\(name)")
            }
        }
        // Of sums that nearly cancel bf16 leaves little either way: all gradients together tell.
        var difference = 0.0, whole = 0.0
        for (name, values) in plain.gradients {
            whole += values.reduce(0) { $0 + $1 * $1 }
            difference += zip(values, try #require(pieces.gradients[name])).reduce(0) {
                $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
            }
        }
        #expect((difference / whole).squareRoot() < tolerance)
    }

    @Test("A loss in pieces reaches a frozen head's adapter, and nothing where nothing learns")
    func pieces() throws {
        let plain = try gradients(.init(), adapters: true), pieces = try gradients(.init(lossRows: 6), adapters: true)
        let head = try #require(plain.gradients["lm_head.lora_B.weight"])
        // Dropout before the head draws other numbers for other pieces; everything else would be the same.
        #expect(pieces.gradients["lm_head.lora_B.weight"]?.count == head.count)
        #expect(pieces.gradients.values.allSatisfy { $0.contains { $0 != 0 } })
        let tiny = try TinyModel()
        let sequences = try tiny.sequences(0..<3)
        let whole = try #require(withoutGradient { try tiny.model.lossSum(sequences)?.item() })
        let some = try #require(
            withoutGradient { try tiny.model.lossSum(sequences, memory: .init(lossRows: 9))?.item() })
        #expect(abs(whole - some) < 1e-4 * whole)
    }

    @Test("Moments in 8 bits come back close, never as a root of zero, and learn as those in 32 do")
    func moments() throws {
        let random = try RandomGenerator(seed: 3)
        let values = try random.normal([1024])
        let means = try QuantizedMoments(1024, areSquares: false, device: .cpu)
        try means.set(values, 0..<1024)
        #expect(try (means.values(0..<1024) - values).abs().amax().item() < 0.02)
        let squares = try QuantizedMoments(1024, areSquares: true, device: .cpu)
        let small = try values.square().square()
        try squares.set(small, 0..<1024)
        let roots = try squares.values(0..<1024).sqrt()
        #expect(try (roots - small.sqrt()).amin().item() > -1e-5)
        #expect(try (roots - small.sqrt()).amax().item() < 0.06)
        try squares.set(Tensor.zeros([256]), 256..<512)
        #expect(try squares.values(256..<512).amax().item() == 0)

        func losses(_ isSmall: Bool) throws -> [Double] {
            let tiny = try TinyModel()
            let optimizer = try Optimizer(
                tiny.model.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 3e-3),
                hasSmallState: isSmall)
            let step = TrainingStep(model: tiny.model, optimizer: optimizer)
            let sequences = try tiny.sequences(0..<4)
            return try (0..<25).map { _ in try step([sequences], rate: 3e-3, clip: 1).loss }
        }
        let whole = try losses(false), eighth = try losses(true)
        print("losses with moments in 32 bits \(whole[24]), in 8 bits \(eighth[24]), at first \(whole[0])")
        #expect(eighth[0] == whole[0] && eighth[24] < 0.6 * whole[0])
        #expect(abs(eighth[24] - whole[24]) < 0.15 * whole[0])
    }

    @Test("Plans count moments in 8 bits as what they take")
    func plannedMoments() throws {
        let tiny = try TinyModel(), folder = try TemporaryFolder()
        let optimizer = try Optimizer(
            tiny.model.store.parameters.filter { !$0.isConstant }, dtype: .float32, settings: AdamWOptions(rate: 1),
            hasSmallState: true)
        let parts = optimizer.groups.flatMap { [$0.first, $0.second] }.compactMap { $0?.codes }.joined()
        let held = parts.reduce(0) { $0 + $1.tensor.count * $1.tensor.dtype.size }
        // The gaps that fill up blocks are much of a model this small, and nothing of a real one.
        let perValue = Double(held) / Double(optimizer.groups.reduce(0) { $0 + $1.share.count })
        func plan(_ bits: Int) throws -> StagePlan {
            let recipe = try tinyRecipe(folder, ["stages.first.memory={moment_bits: \(bits)}"]).recipe
            return try RunPlan(recipe, .init(#require(Accelerator.named("h100")), devices: 1)).stages[0]
        }
        let whole = try plan(32), small = try plan(8)
        #expect(whole.memory.optimizer == 12 * Double(whole.learning))
        #expect(abs(small.memory.optimizer - (4 + perValue) * Double(small.learning)) < 1)
        #expect(perValue < 2.1)
    }
}
