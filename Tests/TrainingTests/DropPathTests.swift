import Foundation
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Stochastic depth")
struct DropPathTests {
    private func gradients(
        _ dropPath: DropPath, seed: UInt64? = 4, recomputed: [ModelPart] = [], dtype: DType = .float32
    ) throws -> (loss: Double, gradients: [String: [Double]]) {
        let tiny = try TinyModel(dtype: dtype)
        let optimizer = try tiny.optimizer()
        var step = TrainingStep(model: tiny.model, optimizer: optimizer, memory: .init(recomputed: recomputed))
        step.dropPath = dropPath
        let sequences = try tiny.sequences(0..<4)
        let report = try step.accumulate([Array(sequences[..<3]), Array(sequences[3...])], seed: seed)
        return (report.loss, try optimizer.gradients())
    }

    @Test("Whole segments are left out, and the mean stays")
    func segments() throws {
        let segments = Segments(lengths: [3, 1, 5, 2]), x = try Tensor.ones([11, 2])
        var sum = [Double](repeating: 0, count: 4), kinds: Set<[Bool]> = []
        for seed in 0..<400 {
            let dropped = try DropoutRandom.$generator.withValue(RandomGenerator(seed: UInt64(seed))) {
                try x.droppingPath(0.25, of: segments)
            }
            let firsts = try (0..<4).map { index in
                let values = try dropped.slice(0, segments.range(index)).doubles()
                #expect(Set(values).count == 1)
                return values[0]
            }
            for index in 0..<4 { sum[index] += firsts[index] / 400 }
            kinds.insert(firsts.map { $0 == 0 })
        }
        #expect(kinds.count > 8)
        #expect(sum.allSatisfy { abs($0 - 1) < 0.1 })
        #expect(try x.droppingPath(0.25, of: segments) === x, "answering never is random")
    }

    @Test("Shares grow evenly from the first block to the last")
    func shares() throws {
        let tiny = try TinyModel()
        let sequences = try tiny.sequences(0..<1), depth = tiny.model.decoder.layers.count
        func states(_ dropPath: DropPath, seed: UInt64) throws -> [String: [Double]] {
            var states: [String: [Double]] = [:]
            let context = ForwardContext { name, value in
                let isSeen = name.hasPrefix("text.layer") || name == "inputs_embeds" || name == "vision.block0"
                if isSeen { states[name] = try value.doubles() }
            }
            context.dropPath = dropPath
            _ = try DropoutRandom.$generator.withValue(RandomGenerator(seed: seed)) {
                try withoutGradient { try tiny.model.hiddenStates(ModelInput(sequences), context) }
            }
            return states
        }
        let plain = try states(.init(), seed: 0)
        var changed = [String: Int]()
        for seed in 0..<40 {
            let dropped = try states(.init(tower: 0.5, decoder: 0.5), seed: UInt64(seed))
            #expect(dropped["vision.block0"] == plain["vision.block0"])
            for layer in 0..<depth {
                // A branch that is left out leaves the layer's input; whether it was shows in its output.
                let before = layer == 0 ? dropped["inputs_embeds"] : dropped["text.layer\(layer - 1)"]
                let attention = try #require(dropped["text.layer\(layer).self_attn"])
                let forward = try #require(dropped["text.layer\(layer).mlp"])
                let share = 0.5 * Double(layer) / Double(depth - 1), scale = 1 / (1 - share)
                let output = try #require(dropped["text.layer\(layer)"]), input = try #require(before)
                let options = [(0.0, 0.0), (scale, 0), (0, scale), (scale, scale)]
                let fits = options.filter { a, b in
                    let expected = zip(input, zip(attention, forward)).map { $0 + a * $1.0 + b * $1.1 }
                    return relativeDifference(output, expected) < 1e-5
                }
                #expect(fits.count == 1, "layer \(layer)")
                if let (a, b) = fits.first { changed["\(layer)", default: 0] += (a == 0 ? 1 : 0) + (b == 0 ? 1 : 0) }
            }
        }
        for layer in 0..<depth {
            let share = 0.5 * Double(layer) / Double(depth - 1), found = Double(changed["\(layer)"] ?? 0) / 80
            #expect(abs(found - share) < 0.17, "layer \(layer): \(found) of \(share)")
            #expect(share > 0 || found == 0)
        }
    }

    @Test("Blocks that are computed again choose the same", arguments: [DType.float32, .bfloat16])
    func recomputation(_ dtype: DType) throws {
        let rates = DropPath(tower: 0.4, decoder: 0.5)
        let plain = try gradients(rates, dtype: dtype)
        let again = try gradients(rates, recomputed: [.visionTower, .decoder], dtype: dtype)
        #expect(again.loss == plain.loss)
        #expect(again.gradients == plain.gradients)
        #expect(try gradients(rates, seed: 5, dtype: dtype).loss != plain.loss)
        let off = try gradients(.init(), dtype: dtype)
        #expect(try gradients(rates, seed: nil, dtype: dtype).gradients == off.gradients)
        #expect(off.loss != plain.loss)
    }

    @Test("Either part alone", arguments: [DropPath(tower: 0.5), DropPath(decoder: 0.5)])
    func parts(_ dropPath: DropPath) throws {
        #expect(try gradients(dropPath).loss != gradients(.init()).loss)
    }

    private func losses(_ loaded: Recipe.Loaded, resume: Bool = false, stop: Int? = nil) throws -> [Double] {
        try run(loaded, resume: resume, stop: stop).steps.map(\.report.loss)
    }

    @Test("A resumed run equals one that was not stopped, bit for bit")
    func resume() throws {
        let overrides = [
            "stages.first.drop_path=0.4", "stages.second.drop_path={tower: 0.3}", "threads=2",
            "stages.second.memory={recompute: [tower, decoder]}",
        ]
        let whole = try TemporaryFolder(), parts = try TemporaryFolder(), plain = try TemporaryFolder()
        let straight = try losses(tinyRecipe(whole, overrides))
        var pieces = try losses(tinyRecipe(parts, overrides), stop: 3)
        pieces += try losses(tinyRecipe(parts, overrides), resume: true, stop: 6)
        pieces += try losses(tinyRecipe(parts, overrides), resume: true)
        #expect(pieces == straight && straight.count == 7)
        func weights(_ folder: TemporaryFolder) throws -> Data {
            try Data(contentsOf: folder.url.appending(path: "run/step-000007/model.safetensors"))
        }
        #expect(try weights(whole) == weights(parts))
        #expect(try losses(tinyRecipe(plain), stop: 1)[0] != straight[0])
    }

    @Test("Recipes name one share or one for each part")
    func recipes() throws {
        let folder = try TemporaryFolder()
        func stage(_ text: String) throws -> DropPath {
            try tinyRecipe(folder, ["stages.first.drop_path=\(text)"]).recipe.stages[0].dropPath
        }
        #expect(try stage("0.1") == DropPath(tower: 0.1, decoder: 0.1))
        #expect(try stage("{tower: 0.2}") == DropPath(tower: 0.2))
        #expect(throws: RecipeError.self) { try stage("1.0") }
        #expect(throws: RecipeError.self) { try stage("{vision: 0.2}") }
    }
}
