import Foundation
import Models
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("What tokens weigh in the loss")
struct LossTests {
    static let settings = [
        Recipe.Loss(weighting: .sample), Recipe.Loss(weighting: .squareRoot), Recipe.Loss(z: 0.01),
        Recipe.Loss(weighting: .squareRoot, z: 0.01),
    ]

    /// Samples with answers of several lengths.
    private func sequences(_ tiny: TinyModel, _ range: Range<Int>) throws -> [ProcessedSequence] {
        let sequences = try tiny.sequences(range)
        #expect(Set(sequences.map(\.learnedCount)).count > 1)
        return sequences
    }

    private func gradients(
        _ parts: [[ProcessedSequence]], _ loss: Recipe.Loss, rows: Int? = nil, ranks: ProcessGroup = .alone,
        dtype: DType = .float32
    ) throws -> (loss: Double, gradients: [String: [Double]]) {
        let tiny = try TinyModel(dtype: dtype)
        let optimizer = try tiny.optimizer(ranks: ranks)
        var step = TrainingStep(model: tiny.model, optimizer: optimizer, memory: .init(lossRows: rows))
        step.loss = loss
        return (try step.accumulate(parts).loss, try optimizer.gradients())
    }

    /// The norm of the difference of all gradients, relative to that of the first.
    private func distance(_ a: [String: [Double]], _ b: [String: [Double]]) throws -> Double {
        var difference = 0.0, size = 0.0
        for (name, values) in a {
            for (x, y) in zip(values, try #require(b[name])) {
                difference += (x - y) * (x - y)
                size += x * x
            }
        }
        return (difference / size).squareRoot()
    }

    @Test("The loss is the weighed mean by its definition", arguments: settings)
    func definition(_ loss: Recipe.Loss) throws {
        let tiny = try TinyModel()
        let sequences = try sequences(tiny, 0..<6)
        let (scores, targets) = try #require(
            withoutGradient { try tiny.model.supervisedLogits(sequences) })
        let wanted = try targets.integers(), size = scores.size(1), all = try scores.doubles()
        var sum = 0.0, weights = 0.0, row = 0
        for sequence in sequences {
            let count = sequence.learnedCount
            for _ in 0..<count {
                let own = all[row * size..<(row + 1) * size]
                let top = own.max() ?? 0
                let logarithm = top + log(own.reduce(0) { $0 + exp($1 - top) })
                let weight =
                    switch loss.weighting {
                    case .token: 1.0
                    case .sample: 1 / Double(count)
                    case .squareRoot: pow(Double(count), -0.5)
                    }
                sum += weight * (logarithm - all[row * size + wanted[row]] + loss.z * logarithm * logarithm)
                weights += weight
                row += 1
            }
        }
        let found = try gradients([Array(sequences[..<2]), Array(sequences[2...])], loss)
        #expect(abs(found.loss - sum / weights) < 1e-5 * found.loss)
        let plain = try gradients([sequences], .init())
        #expect(abs(plain.loss - found.loss) > 1e-4 * plain.loss)
        #expect(try distance(plain.gradients, found.gradients) > 1e-3)
    }

    @Test("Accumulation 1, 2, 4 and ranks 1, 2 give the same gradients", .inTurn, arguments: settings)
    func splitting(_ loss: Recipe.Loss) throws {
        let sequences = try sequences(TinyModel(), 0..<8)
        @Sendable func split(_ parts: Int) -> [[ProcessedSequence]] {
            let size = sequences.count / parts
            return (0..<parts).map { Array(sequences[$0 * size..<($0 + 1) * size]) }
        }
        let whole = try #require(try onRanks(1) { try gradients(split(1), loss, ranks: $0) }.first)
        for (ranks, parts) in [(1, 2), (1, 4), (2, 2), (2, 4)] {
            let found = try #require(try onRanks(ranks) { try gradients(split(parts), loss, ranks: $0) }.first)
            #expect(abs(found.loss - whole.loss) < 1e-6 * whole.loss)
            #expect(try distance(whole.gradients, found.gradients) < 1e-6, "\(ranks) ranks, \(parts) micro-batches")
        }
    }

    @Test("A loss in pieces is the loss in one", arguments: settings, [1, 7])
    func chunks(_ loss: Recipe.Loss, _ rows: Int) throws {
        let sequences = try sequences(TinyModel(), 0..<5)
        let whole = try gradients([sequences], loss), pieces = try gradients([sequences], loss, rows: rows)
        #expect(abs(pieces.loss - whole.loss) < 1e-6 * whole.loss)
        #expect(try distance(whole.gradients, pieces.gradients) < 1e-6)
        let rough = try gradients([sequences], loss, dtype: .bfloat16)
        let roughPieces = try gradients([sequences], loss, rows: rows, dtype: .bfloat16)
        #expect(try distance(rough.gradients, roughPieces.gradients) < 2e-2)
    }

    @Test("Recipes name it, and a run does it")
    func recipes() throws {
        let folder = try TemporaryFolder(), other = try TemporaryFolder()
        let loaded = try tinyRecipe(folder, ["stages.first.loss={weighting: square_root, z: 0.001}"])
        #expect(loaded.recipe.stages[0].loss == .init(weighting: .squareRoot, z: 0.001))
        #expect(loaded.recipe.unsupported().isEmpty)
        func losses(_ loaded: Recipe.Loaded) throws -> [Double] {
            let recorder = Recorder()
            let trainer = try Trainer(loaded, resume: false, observer: recorder)
            trainer.shouldStop = { _ in recorder.steps.count == 2 }
            _ = try trainer.run()
            return recorder.steps.map(\.report.loss)
        }
        #expect(try losses(loaded)[0] > losses(tinyRecipe(other))[0])
        #expect(throws: RecipeError.self) { try tinyRecipe(folder, ["stages.first.loss={weighting: words}"]) }
    }
}
