import Data
import Foundation
import Media
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Regions as lessons")
struct RegionTests {
    /// Samples with the targets of their features.
    private func targets(_ tiny: TinyModel, _ options: SyntheticOptions, _ count: Int) throws
        -> [(sample: SyntheticSample, sequence: ProcessedSequence, targets: RegionTargets)]
    {
        let generator = try SyntheticGenerator(options)
        return try (0..<count).map { index in
            let sample = try generator.sample(at: index)
            let sequence = try tiny.description.processor.process(sample.conversation, .training)
            return (sample, sequence, try #require(RegionTargets(sequence, pictures: [sample.regions])))
        }
    }

    @Test("Every object is told by at least one feature, with its colour, its shape and its edges")
    func objects() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.describe: 1], sides: 140...240, difficulty: 0)
        for (sample, sequence, targets) in try targets(tiny, options, 20) {
            let grid = try sequence.items[0].patchGrid()
            let (columns, rows) = (grid.width / 2, grid.height / 2)
            #expect(targets.count == columns * rows)
            var told: Set<String> = []
            for cell in targets.foreground {
                let color = SyntheticObject.colors[targets.colors[cell] - 1]
                let shape = SyntheticObject.shapes[targets.kinds[cell] - 1]
                let middle = (Double(cell % columns) + 0.5, Double(cell / columns) + 0.5)
                let left = (middle.0 + Double(targets.edges[cell * 4])) / Double(columns) * Double(sample.image.width)
                let bottom =
                    (middle.1 + Double(targets.edges[cell * 4 + 3])) / Double(rows) * Double(sample.image.height)
                let object = sample.metadata.objects.first {
                    $0.color == color && $0.shape == shape && abs($0.box.x - left) < 0.1
                        && abs($0.box.maxY - bottom) < 0.1
                }
                let found = try #require(object, "\(color) \(shape) at \(left)")
                told.insert("\(found.box)")
                #expect(targets.places[cell * 4] == Int(found.box.x / Double(sample.image.width) * 100))
            }
            #expect(told.count == sample.metadata.objects.count)
            #expect(targets.background.allSatisfy { targets.kinds[$0] == 0 })
        }
    }

    @Test("The features along a line spell it")
    func writing() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.text: 1], sides: 140...280, difficulty: 0)
        var spelled = 0
        for (sample, _, targets) in try targets(tiny, options, 60) {
            let codes = targets.characters.filter { $0 > 0 }
            let written = sample.metadata.objects.map { $0.label.filter { $0 != " " } }
            // Two lines may share a row of features, and narrow letters may be more than a feature tells.
            guard written.count == 1, codes.count == written[0].count else { continue }
            let text = String(String.UnicodeScalarView(codes.compactMap { UnicodeScalar($0 + 32) }))
            #expect(text == written[0])
            spelled += 1
        }
        #expect(spelled > 8)
    }

    @Test("A model learns what stands where")
    func learns() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.color: 1], sides: 112...140, difficulty: 0, maxObjects: 1)
        let lessons = try targets(tiny, options, 6)
        let heads = try RegionHeads(tiny.model, layer: nil, seed: 1)
        let optimizer = try Optimizer(
            tiny.model.store.parameters + heads.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 3e-3))
        let step = TrainingStep(
            model: tiny.model, optimizer: optimizer, threads: WorkerThreads(1),
            regions: (heads, Recipe.Regions(weight: 1, layer: nil, answers: true)))
        let losses = try (0..<12).map { _ in
            let report = try step(
                [lessons.map(\.sequence)], regions: [lessons.map(\.targets)], rate: 3e-3, clip: 1)
            return try #require(report.regionLoss)
        }
        #expect(losses[11] < 0.6 * losses[0], "\(losses)")
    }

    @Test("A stopped run with regions goes on bit for bit, and its checkpoints hold the model alone")
    func resume() throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let regions = ["stages.first.regions={weight: 0.5, layer: 1}"]
        func run(_ folder: TemporaryFolder, resume: Bool = false, stop: Int? = nil) throws -> Recorder {
            let recorder = Recorder()
            let trainer = try Trainer(tinyRecipe(folder, regions), resume: resume, observer: recorder)
            trainer.shouldStop = { stop.map { (recorder.steps.last?.step ?? 0) >= $0 } ?? false }
            _ = try trainer.run()
            return recorder
        }
        let straight = try run(whole)
        #expect(straight.steps[3].report.regionLoss != nil && straight.steps[4].report.regionLoss == nil)
        _ = try run(parts, stop: 2)
        _ = try run(parts, resume: true)
        for name in ["model.safetensors", "training/optimizer.safetensors"] {
            let path = "run/step-000007/\(name)"
            #expect(
                try Data(contentsOf: whole.url.appending(path: path))
                    == Data(contentsOf: parts.url.appending(path: path)))
        }
        let model = try ModelFolder(whole.url.appending(path: "run/step-000004"))
        _ = try model.loadModel(dtype: .float32)
    }
}
