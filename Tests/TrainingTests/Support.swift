import Data
import Foundation
import Models
import NN
import TestSupport
import Torch

@testable import Training

/// A small Qwen2-VL with random weights, and samples for it.
struct TinyModel {
    static var folder: URL { Fixtures.goldens.appending(path: "qwen2vl_small") }

    let description: ModelFolder
    let model: VisionLanguageModel

    init(seed: UInt64 = 1, dtype: DType = .float32) throws {
        description = try ModelFolder(Self.folder)
        model = try description.family.makeModel(ParameterStore(.random(seed: seed), dtype: dtype, writable: true))
    }

    /// Synthetic conversations, processed.
    func sequences(_ range: Range<Int>, seed: UInt64 = 5) throws -> [ProcessedSequence] {
        let source = try SyntheticSource(SyntheticOptions(seed: seed, sides: 112...140, difficulty: 0))
        return try range.map { try description.processor.process(source.sample(at: $0).conversation, .training) }
    }

    func optimizer(
        _ train: [String] = ["all"], rate: Double = 1e-3, decay: Double = 0, ranks: ProcessGroup = .alone
    ) throws -> Optimizer {
        let selection = ParameterSelection(train, of: model)
        return try Optimizer(
            model.store.parameters.filter { selection.contains($0.name) }, dtype: model.store.dtype,
            settings: AdamWOptions(rate: rate, weightDecay: decay), ranks: ranks)
    }

    /// All values, by name.
    func values() throws -> [String: [Double]] {
        try Dictionary(uniqueKeysWithValues: model.store.parameters.map { ($0.name, try $0.tensor.doubles()) })
    }
}

extension Optimizer {
    /// All collected gradients, by name.
    func gradients() throws -> [String: [Double]] {
        var result: [String: [Double]] = [:]
        for slot in groups.flatMap(\.slots) { result[slot.parameter.name] = try slot.gradient?.doubles() }
        return result
    }
}

/// The largest difference of two lists relative to the largest value.
func relativeDifference(_ a: [Double], _ b: [Double]) -> Double {
    let scale = max(a.map(abs).max() ?? 0, 1e-12)
    return zip(a, b).map { abs($0 - $1) }.max().map { $0 / scale } ?? 0
}

/// What a run told.
final class Recorder: TrainingObserver {
    var steps: [StepRecord] = []
    var stages: [StageSummary] = []
    var evaluations: [EvaluationRecord] = []
    var answers: [(step: Int, answers: [SampleAnswer])] = []
    var runs: [RunFacts] = []
    var notes: [String] = []
    var unusable: [SkippedSample] = []

    func begin(_ run: RunFacts) { runs.append(run) }
    func begin(_ stage: StageSummary) { stages.append(stage) }
    func step(_ record: StepRecord) { steps.append(record) }
    func evaluation(_ record: EvaluationRecord) { evaluations.append(record) }
    func answers(_ answers: [SampleAnswer], step: Int) { self.answers.append((step, answers)) }
    func checkpoint(_ folder: URL, step: Int) {}
    func skipped(_ samples: [SkippedSample], step: Int) { unusable += samples }
    func note(_ line: String) { notes.append(line) }
}

/// Runs a recipe, or so many steps of it.
@discardableResult
func trainedRun(
    _ loaded: Recipe.Loaded, resume: Bool = false, stop: Int? = nil
) throws -> (recorder: Recorder, trainer: Trainer) {
    let recorder = Recorder()
    let trainer = try Trainer(loaded, resume: resume, observer: recorder)
    trainer.shouldStop = { step in stop.map { step >= $0 } ?? false }
    _ = try trainer.run()
    return (recorder, trainer)
}

/// The same, for what it told.
@discardableResult
func run(_ loaded: Recipe.Loaded, resume: Bool = false, stop: Int? = nil) throws -> Recorder {
    try trainedRun(loaded, resume: resume, stop: stop).recorder
}

/// A recipe of two short stages over the tiny model.
func tinyRecipe(_ output: TemporaryFolder, _ overrides: [String] = []) throws -> Recipe.Loaded {
    let text = """
        name: tiny
        model:
          random: \(TinyModel.folder.path)
        seed: 3
        precision: bf16
        output: \(output.path("run"))
        stages:
          - name: first
            train: all
            steps: 4
            learning_rate: 1.0e-3
            clip: 1.0
            batch: {tokens: 900, max_samples: 3, accumulation: 2, look_ahead: 5}
            checkpoint_every: 1000
            data:
              - synthetic: {seed: 1, sides: [112, 140], difficulty: 0, tasks: {color: 1, count: 1}}
              - synthetic: {seed: 2, sides: [112, 140], difficulty: 0, tasks: {shape: 1}}
                weight: 0.5
          - name: second
            train: [merger, decoder]
            steps: 3
            learning_rate: 1.0e-3
            schedule: {kind: cosine, warmup_steps: 1}
            batch: {tokens: 900, max_samples: 3}
            checkpoint_every: 2
            data:
              - synthetic: {seed: 3, sides: [112, 140], difficulty: 0, tasks: {color: 1}}
        """
    return try Recipe.parse(text, file: "tiny.yaml", folder: output.url, overrides: overrides)
}

/// A recipe of one stage that trains adapters over the tiny model's weights.
func adapterRecipe(
    _ output: TemporaryFolder, _ lora: String, precision: String = "bf16", _ overrides: [String] = []
) throws -> Recipe.Loaded {
    let text = """
        name: single
        model: {checkpoint: \(TinyModel.folder.path)}
        precision: \(precision)
        output: \(output.path("run"))
        stages:
          - name: adapters
            lora: \(lora)
            steps: 4
            learning_rate: 1.0e-2
            batch: {tokens: 900, max_samples: 3, accumulation: 2}
            data:
              - synthetic: {seed: 1, sides: [112, 140], difficulty: 0, tasks: {color: 1}}
        """
    return try Recipe.parse(text, file: "single.yaml", folder: output.url, overrides: overrides)
}
