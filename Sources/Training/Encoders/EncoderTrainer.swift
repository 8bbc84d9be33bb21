internal import Data
internal import Foundation
internal import Models
internal import NN
internal import Safetensors
internal import Torch

/// Runs a recipe with an `objective`: an encoder that learns by itself, before any language model reads it.
///
/// Pictures are seen as NaViT sees them: each at a size of its own, some of its patches left out, many of them packed
/// into one pass.
public final class EncoderTrainer: RecipeTrainer {
    private let recipe: Recipe
    private let objective: Recipe.Objective
    private let observer: any TrainingObserver
    private let checkpoints: CheckpointStore
    private let files: ModelFiles
    private let family: NaViT
    private let store: ParameterStore
    private let model: NaViTClassifier
    private var masters: [String: Tensor]
    private var state: TrainingState
    private let resumedFrom: URL?
    private let heldOut: LabelledPictures?
    private let blind: LabelledPictures?
    private let threads: WorkerThreads
    /// Asked before every step.
    public var shouldStop: () -> Bool = { StopSignal.isRaised }

    /// - Throws: `RecipeError` for a recipe without an objective or with data whose labels nobody knows.
    public init(_ loaded: Recipe.Loaded, resume: Bool, observer: any TrainingObserver) throws {
        recipe = loaded.recipe
        guard let objective = recipe.objective else {
            throw RecipeError(file: recipe.name, key: "objective", reason: "is missing")
        }
        self.objective = objective
        self.observer = observer
        threads = WorkerThreads(recipe.threads)
        checkpoints = CheckpointStore(output: URL(fileURLWithPath: recipe.output), keep: recipe.keep)
        let start = try checkpoints.begin(loaded, resume: resume, observer)
        state = start.state
        resumedFrom = start.resumedFrom
        files = start.files
        family = try NaViT(
            ModelRegistry.reader(
                start.folder.appendingPathComponent("config.json"), ofType: "navit", for: "objective classification"))
        guard family.classes == SyntheticLabels.count else {
            throw ConfigurationError(
                file: start.folder.appendingPathComponent("config.json").path, field: "num_classes",
                reason: "is \(family.classes); generated pictures have \(SyntheticLabels.count): colours and shapes")
        }
        let weights: ParameterStore.Origin
        switch (resumedFrom, recipe.model.start) {
        case (let folder?, _): weights = .checkpoint(try SafetensorsCheckpoint(directory: folder.path), .fail)
        case (nil, .checkpoint(let path)): weights = .checkpoint(try SafetensorsCheckpoint(directory: path), .fail)
        case (nil, .preset): throw TrainingError.unsupported(recipe.unsupported())
        case (nil, .random): weights = .random(seed: recipe.seed)
        }
        store = ParameterStore(weights, dtype: .float32, writable: true)
        model = try family.makeClassifier(store)
        masters = store.valuesByName
        if let resumedFrom { masters.merge(try CheckpointStore.masters(of: resumedFrom)) { $1 } }
        let measured = recipe.stages.contains { $0.evaluateEvery > 0 } ? recipe.heldOut : nil
        heldOut = try measured.map { [seed = recipe.seed] in try LabelledPictures($0.data, seed: seed) }
        blind = try measured.flatMap { [seed = recipe.seed] held in
            held.comparesBlind ? try LabelledPictures(held.data, seed: seed, isBlind: true) : nil
        }
    }

    deinit { threads.stop() }

    public var parameterCount: Int { store.parameters.reduce(0) { $0 + $1.count } }
    public var counters: TrainingState.Counters { state.counters }
    public var step: Int { state.step }

    public func run() throws -> RecipeOutcome {
        var last = resumedFrom
        while state.stage < recipe.stages.count {
            let stage = recipe.stages[state.stage]
            if state.stageStep < stage.steps {
                let (folder, isStopped) = try run(stage)
                if isStopped { return .stopped(checkpoint: folder.path, signal: StopSignal.name) }
                last = folder
            }
            state.stage += 1
            state.stageStep = 0
            state.cursor = DataCursor()
        }
        return .finished(checkpoint: last?.path ?? recipe.output)
    }

    private func run(_ stage: Recipe.Stage) throws -> (checkpoint: URL, isStopped: Bool) {
        let selection = ParameterSelection(stage.train, part: family.part)
        for pattern in selection.idle(among: store.parameters.map(\.name)) {
            throw TrainingError.nothingMatches(stage: stage.name, pattern: pattern)
        }
        let learning = store.parameters.filter { !$0.isConstant && selection.contains($0.name) }
        for parameter in store.parameters where !learning.contains(where: { $0 === parameter }) {
            if let master = masters[parameter.name] { parameter.tensor = try master.to(recipe.precision.dtype) }
        }
        let optimizer = try Optimizer(
            learning, masters: masters, dtype: recipe.precision.dtype,
            settings: AdamWOptions(
                rate: stage.learningRate, beta1: stage.beta1, beta2: stage.beta2, epsilon: stage.epsilon,
                weightDecay: stage.weightDecay))
        if let resumedFrom, state.stageStep > 0 { try CheckpointStore.restore(optimizer, from: resumedFrom) }
        let count = learning.reduce(0) { $0 + $1.count }
        observer.begin(
            StageSummary(
                name: stage.name, index: state.stage, stages: recipe.stages.count, steps: stage.steps,
                done: state.stageStep, learning: count, parameters: parameterCount,
                parts: [("encoder", count, parameterCount)]))
        let pictures = try LabelledPictures(stage.data, seed: recipe.stageSeed(state.stage))
        while state.stageStep < stage.steps {
            if shouldStop() { return (try save(optimizer), true) }
            let clock = ContinuousClock.now
            let rate = stage.learningRate * stage.schedule.factor(step: state.stageStep, of: stage.steps)
            let report = try learn(stage, optimizer, pictures, rate: rate)
            let seconds = (ContinuousClock.now - clock).seconds
            try account(report, seconds: seconds)
            observer.step(
                StepRecord(
                    step: state.step, stage: stage.name, stageStep: state.stageStep, stageSteps: stage.steps,
                    rate: rate, report: report, seconds: seconds, waited: 0,
                    skippedSteps: state.counters.skippedSteps, skippedSamples: 0,
                    isLogged: state.stageStep % stage.logEvery == 0 || state.stageStep == stage.steps))
            let isLast = state.stageStep == stage.steps
            if stage.evaluateEvery > 0, isLast || state.stageStep % stage.evaluateEvery == 0,
                let record = try evaluate()
            {
                observer.evaluation(record)
            }
            if state.stageStep % stage.checkpointEvery == 0, !isLast { _ = try save(optimizer) }
        }
        let folder = try save(optimizer)
        masters.merge(try optimizer.release()) { $1 }
        return (folder, false)
    }

    /// One step over `accumulation` micro-batches, computed side by side and added in order.
    private func learn(
        _ stage: Recipe.Stage, _ optimizer: Optimizer, _ pictures: LabelledPictures, rate: Double
    ) throws -> StepReport {
        let share = 1 / Double(stage.batch.accumulation), leaves = optimizer.leaves
        let size = stage.batch.maxSamples ?? 32
        let first = state.cursor.next
        let parts = try threads.map(stage.batch.accumulation) { [model, objective, family] index in
            let batch = try pictures.batch(
                from: first + index * size, count: size, tokens: stage.batch.tokens, family, objective)
            let gradients = try withGradient {
                let part =
                    try EncoderObjectives.sigmoidClassification(model(batch.patches), labels: batch.labels) * share
                return (
                    try part.item(),
                    try Tensor.gradients(of: [part], weightedBy: [.scalar(1, device: part.device)], for: leaves)
                )
            }
            return (batch: batch, loss: gradients.0, gradients: gradients.1)
        }
        state.cursor.next = first + stage.batch.accumulation * size
        var report = StepReport(loss: 0, gradientNorm: 0)
        try optimizer.zeroGradients()
        for part in parts {
            report.loss += part.loss
            try optimizer.add(part.gradients)
            report.samples += part.batch.labels.count
            report.pictures += part.batch.labels.count
            let patches = part.batch.patches.counts.reduce(0, +)
            report.patches += patches
            report.tokens += patches
        }
        // The mean loss is weighted by what it is a mean over.
        report.supervisedTokens = report.samples
        report.gradientNorm = try optimizer.gradientNorm()
        report.isApplied = try optimizer.update(
            loss: report.loss, norm: report.gradientNorm, rate: rate, clip: stage.clip)
        return report
    }

    private func account(_ report: StepReport, seconds: Double) throws {
        state.step += 1
        state.stageStep += 1
        state.counters.samples += report.samples
        state.counters.seenSamples += report.samples
        state.counters.pictures += report.pictures
        state.counters.patches += report.patches
        state.counters.tokens += report.tokens
        state.counters.seconds += seconds
        if report.isApplied {
            state.skippedInARow = 0
            return
        }
        state.counters.skippedSteps += 1
        state.skippedInARow += 1
        observer.note("step \(state.step) skipped: loss \(report.loss), gradient norm \(report.gradientNorm)")
        if state.skippedInARow > recipe.maxSkippedSteps {
            throw TrainingError.steps(skipped: state.skippedInARow, step: state.step, samples: ["generated pictures"])
        }
    }

    public func evaluate() throws -> EvaluationRecord? {
        guard let heldOut, let count = recipe.heldOut?.samples else { return nil }
        let seen = try score(heldOut, count)
        var record = EvaluationRecord(step: state.step, loss: seen.loss, accuracy: seen.accuracy, samples: count)
        if let blind { record.blind = .init(try score(blind, count)) }
        return record
    }

    /// Mean loss of a picture, and the part of colours and shapes that have the highest score of their kind.
    private func score(_ pictures: LabelledPictures, _ count: Int) throws -> (loss: Double, accuracy: Double) {
        let size = 32
        let parts = try threads.map((count + size - 1) / size) { [model, objective, family] index in
            let start = index * size
            let batch = try pictures.whole(from: start, count: min(size, count - start), family, objective)
            return try withoutGradient {
                let scores = try model(batch.patches)
                let loss = try EncoderObjectives.sigmoidClassification(scores, labels: batch.labels).item()
                let values = try scores.to(.float32).floats()
                var right = 0
                for (picture, labels) in batch.labels.enumerated() {
                    let row = values[picture * SyntheticLabels.count..<(picture + 1) * SyntheticLabels.count]
                    right += SyntheticLabels.right(Array(row), labels)
                }
                return (loss: loss * Double(batch.labels.count), right: right)
            }
        }
        return (
            parts.reduce(0) { $0 + $1.loss } / Double(count),
            Double(parts.reduce(0) { $0 + $1.right }) / Double(count * SyntheticLabels.kinds.count)
        )
    }

    private func save(_ optimizer: Optimizer) throws -> URL {
        let frozen =
            recipe.precision == .f32 ? [:] : masters.filter { optimizer.gradient(of: $0.key) == nil }
        let folder = try checkpoints.save(
            files: files, optimizer: optimizer, masters: frozen, state: state, dtype: recipe.precision.dtype
        ) { folder in
            try SafetensorsWriter.write(
                path: folder.appendingPathComponent("model.safetensors").path,
                tensors: store.tensorSources(dtype: recipe.precision.dtype), metadata: ["format": "pt"])
        }
        observer.checkpoint(folder, step: state.step)
        return folder
    }
}
