internal import Data
internal import Foundation
internal import Models
internal import NN
internal import Safetensors
public import Torch

/// Runs a recipe with an `objective`: an encoder that learns by itself, before any language model reads it.
public final class EncoderTrainer: RecipeTrainer {
    private let recipe: Recipe
    private let observer: any TrainingObserver
    private let checkpoints: CheckpointStore
    private let files: ModelFiles
    private let lesson: any EncoderLesson
    private var masters: [String: Tensor]
    private var state: TrainingState
    private let resumedFrom: URL?
    private let heldOut: GeneratedPictures?
    private let blind: GeneratedPictures?
    private let threads: WorkerThreads
    private let group: ProcessGroup
    /// The recipe's text with all replacements.
    private let text: String
    /// Asked before every step, with the number of those done.
    public var shouldStop: (_ step: Int) -> Bool = { _ in StopSignal.isRaised }

    /// - Parameter group: the processes that train together; they share the micro-batches of a step.
    /// - Throws: `RecipeError` for a recipe without an objective or with data whose labels nobody knows;
    ///   `TrainingError.ranks` where micro-batches cannot be shared evenly.
    public init(
        _ loaded: Recipe.Loaded, resume: Bool, observer: any TrainingObserver, group: ProcessGroup = .alone
    ) throws {
        recipe = loaded.recipe
        text = loaded.text
        guard let objective = recipe.objective else {
            throw RecipeError(file: recipe.name, key: "objective", reason: "is missing")
        }
        for stage in recipe.stages where stage.batch.accumulation % group.size != 0 {
            throw TrainingError.ranks(
                stage: stage.name, microBatches: stage.batch.accumulation, ranks: group.size)
        }
        self.group = group
        self.observer = group.isMain ? observer : SilentObserver()
        threads = WorkerThreads(recipe.threads)
        checkpoints = CheckpointStore(output: URL(fileURLWithPath: recipe.output), keep: recipe.keep)
        let start = try checkpoints.begin(loaded, resume: resume, observer, group: group)
        state = start.state
        resumedFrom = start.resumedFrom
        files = start.files
        let weights: ParameterStore.Origin
        switch (resumedFrom, recipe.model.start) {
        case (let folder?, _): weights = .checkpoint(try SafetensorsCheckpoint(directory: folder.path), .fail)
        case (nil, .checkpoint(let path)): weights = .checkpoint(try SafetensorsCheckpoint(directory: path), .fail)
        case (nil, .preset): throw TrainingError.unsupported(recipe.unsupported())
        case (nil, .random): weights = .random(seed: recipe.seed)
        }
        let device = try recipe.device(of: group)
        lesson = try recipe.makeLesson(objective, folder: start.folder, weights, device)
        masters = lesson.store.valuesByName
        if let resumedFrom { masters.merge(try CheckpointStore.masters(of: resumedFrom, on: { _ in device })) { $1 } }
        let measured = recipe.stages.contains { $0.evaluateEvery > 0 } ? recipe.heldOut : nil
        heldOut = try measured.map { [seed = recipe.seed] in try GeneratedPictures($0.data, seed: seed) }
        blind = try measured.flatMap { [seed = recipe.seed] held in
            held.comparesBlind ? try GeneratedPictures(held.data, seed: seed, isBlind: true) : nil
        }
    }

    deinit { threads.stop() }

    private var store: ParameterStore { lesson.store }
    public var parameterCount: Int { store.parameters.reduce(0) { $0 + $1.count } }
    public var counters: TrainingState.Counters { state.counters }
    public var step: Int { state.step }

    public func run() throws -> RecipeOutcome {
        let own = try MatrixSpeed.quick(recipe.precision.dtype, threads: threads, device: store.device)
        let rates = try group.gathered([own], for: "measuring the machine", timeout: ProcessGroup.patience)
        observer.begin(
            RunFacts(
                name: recipe.name, step: state.step, isResumed: resumedFrom != nil, time: Date().timeIntervalSince1970,
                machine: RunFacts.Machine(
                    recipe, device: store.device, ranks: group.size, matrixRate: rates.reduce(0) { $0 + $1[0] }),
                parameters: parameterCount, recipe: text))
        var last = resumedFrom
        while state.stage < recipe.stages.count {
            let stage = recipe.stages[state.stage]
            if state.stageStep < stage.steps {
                let (folder, stop) = try run(stage)
                if let stop { return .stopped(checkpoint: folder.path, signal: stop.signal) }
                last = folder
            }
            state.stage += 1
            state.stageStep = 0
            state.cursor = DataCursor()
        }
        return .finished(checkpoint: last?.path ?? recipe.output)
    }

    private func run(_ stage: Recipe.Stage) throws -> (checkpoint: URL, stop: ProcessGroup.Stop?) {
        let selection = ParameterSelection(stage.train, part: lesson.part)
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
                weightDecay: stage.weightDecay), kind: stage.optimizer,
            sharding: recipe.sharding ?? .none, ranks: group)
        if let resumedFrom, state.stageStep > 0 { try CheckpointStore.restore(optimizer, from: resumedFrom) }
        let count = learning.reduce(0) { $0 + $1.count }
        observer.begin(
            StageSummary(
                name: stage.name, index: state.stage, stages: recipe.stages.count, steps: stage.steps,
                done: state.stageStep, learning: count, parameters: parameterCount,
                parts: [("encoder", count, parameterCount)]))
        let pictures = try GeneratedPictures(stage.data, seed: recipe.stageSeed(state.stage))
        while state.stageStep < stage.steps {
            if let stop = try group.agreedStop(shouldStop(step)) { return (try save(optimizer), stop) }
            let clock = ContinuousClock.now
            let rate = stage.learningRate * stage.schedule.factor(step: state.stageStep, of: stage.steps)
            let report = try learn(stage, optimizer, pictures, rate: rate)
            let seconds = (ContinuousClock.now - clock).seconds
            try account(report, seconds: seconds)
            var record = StepRecord(
                step: state.step, stage: stage.name, stageStep: state.stageStep, stageSteps: stage.steps,
                rate: rate, report: report, seconds: seconds, waited: 0, trainedSeconds: state.counters.seconds,
                skippedSteps: state.counters.skippedSteps, skippedSamples: 0,
                isLogged: state.stageStep % stage.logEvery == 0 || state.stageStep == stage.steps)
            if record.isLogged {
                record.gradientNorms = try optimizer.gradientNorms(total: report.gradientNorm) { [lesson] name in
                    ParameterSelection.Part(lesson.part(of: name)).rawValue
                }
            }
            observer.step(record)
            let isLast = state.stageStep == stage.steps
            if stage.evaluateEvery > 0, isLast || state.stageStep % stage.evaluateEvery == 0,
                let record = try evaluate()
            {
                observer.evaluation(record)
                if isLast || state.stageStep % stage.checkpointEvery == 0 { state.noteBest(record) }
            }
            if state.stageStep % stage.checkpointEvery == 0, !isLast { _ = try save(optimizer) }
        }
        let folder = try save(optimizer)
        masters.merge(try optimizer.release()) { $1 }
        return (folder, nil)
    }

    /// One step over `accumulation` micro-batches, of which each rank computes its own, side by side and added in order.
    private func learn(
        _ stage: Recipe.Stage, _ optimizer: Optimizer, _ pictures: GeneratedPictures, rate: Double
    ) throws -> StepReport {
        let leaves = optimizer.leaves
        guard let stream = optimizer.stream else { preconditionFailure("whole parameters have a stream") }
        let size = lesson.pictures(stage.batch), first = state.cursor.next
        let firsts = stride(from: group.rank, to: stage.batch.accumulation, by: group.size).map { first + $0 * size }
        try optimizer.zeroGradients()
        let step = try lesson.step(pictures, from: firsts, stage.batch, group: group, threads: threads)
        /// Loss, pictures, patches and words.
        var sums = [step.loss, 0, 0, 0]
        for start in stride(from: 0, to: firsts.count, by: threads.count) {
            let end = min(start + threads.count, firsts.count)
            defer { stream.leave() }
            try stream.begin(places: end - start, isLast: end == firsts.count)
            let parts = try threads.map(end - start) { index in
                try withGradient {
                    let made = try step.pass(start + index)
                    // Of a tower that does not learn nothing goes back.
                    let learned = made.outputs.indices.filter { made.outputs[$0].requiresGradient }
                    if !learned.isEmpty {
                        // The stream takes them as they come.
                        _ = try GradientStream.$place.withValue(index) {
                            try Tensor.gradients(
                                of: learned.map { made.outputs[$0] }, weightedBy: learned.map { made.gradients[$0] },
                                for: leaves)
                        }
                    }
                    try stream.finish(place: index)
                    let counts = made.counts
                    return [made.loss] + [counts.pictures, counts.patches, counts.words].map(Double.init)
                }
            }
            try stream.end()
            for part in parts { sums = zip(sums, part).map { $0 + $1 } }
        }
        state.cursor.next = first + stage.batch.accumulation * size
        let all = try group.gathered(sums, for: "sharing losses")
        func sum(_ index: Int) -> Double { all.reduce(0) { $0 + $1[index] } }
        var report = StepReport(loss: sum(0), gradientNorm: try optimizer.gradientNorm())
        (report.samples, report.pictures, report.patches) = (Int(sum(1)), Int(sum(1)), Int(sum(2)))
        report.tokens = Int(sum(2) + sum(3))
        // The mean loss is weighted by what it is a mean over.
        report.supervisedTokens = report.samples
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
        // Rank 0 measures alone: batches are as large as one process makes them.
        let data = try group.fromMain("measuring on held-out pictures", timeout: ProcessGroup.patience) {
            let seen = try lesson.scores(heldOut, count: count, threads)
            var record = EvaluationRecord(step: state.step, loss: seen.loss, accuracy: seen.accuracy, samples: count)
            record.measure = lesson.measure
            record.chance = seen.chance.map { .init(loss: $0.loss, accuracy: $0.accuracy) }
            if let blind {
                let scores = try lesson.scores(blind, count: count, threads)
                record.blind = .init(loss: scores.loss, accuracy: scores.accuracy)
            }
            return try JSONEncoder().encode(record)
        }
        return try JSONDecoder().decode(EvaluationRecord.self, from: data)
    }

    private func save(_ optimizer: Optimizer) throws -> URL {
        let frozen =
            recipe.precision == .f32 ? [:] : masters.filter { !optimizer.learns($0.key) }
        let sources = try optimizer.tensorSources()
        return try group.folderFromMain("saving a checkpoint") {
            let folder = try checkpoints.save(
                files: files, optimizer: sources, masters: frozen, state: state, dtype: recipe.precision.dtype
            ) { folder in
                try SafetensorsWriter.write(
                    path: folder.appendingPathComponent("model.safetensors").path,
                    tensors: store.tensorSources(dtype: recipe.precision.dtype), metadata: ["format": "pt"])
            }
            observer.checkpoint(folder, step: state.step)
            return folder
        }
    }
}
