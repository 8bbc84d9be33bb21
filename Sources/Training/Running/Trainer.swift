internal import Foundation
internal import Models
internal import NN
public import Torch

/// Runs a recipe from its first stage to its last, or from where an earlier run stopped.
public final class Trainer: RecipeTrainer {
    public typealias Outcome = RecipeOutcome

    public let recipe: Recipe
    private let observer: any TrainingObserver
    private let checkpoints: CheckpointStore
    let files: ModelFiles
    let family: any ModelFamily
    let processor: any ConversationProcessor
    let model: VisionLanguageModel
    /// Float32 values of all parameters; none of weights that nothing changes.
    var masters: [String: Tensor]
    var state: TrainingState
    /// Those of the current stage.
    var adapters: LowRankAdapters?
    private let resumedFrom: URL?
    private let heldOut: HeldOutLoss?
    private let questions: HeldOutQuestions?
    private let outline: ModelOutline
    /// The recipe's text with all replacements.
    private let text: String
    private let threads: WorkerThreads
    /// The processes that train together.
    let group: ProcessGroup
    private let mesh: RankMesh
    /// Asked before every step, with the number of those done.
    public var shouldStop: (_ step: Int) -> Bool = { _ in StopSignal.isRaised }
    /// Called before each step with the number of those done: tests do harm here.
    var willStep: (Int) throws -> Void = { _ in }
    /// Called with the ids of each step's samples, micro-batch by micro-batch.
    var didPack: ([[String]]) -> Void = { _ in }

    /// Reads the model and, when resuming, the newest whole checkpoint of the recipe's output.
    ///
    /// - Parameter group: the processes that train together; of them, rank 0 tells the observer and writes.
    /// - Throws: `CheckpointError.exists` when the output holds a run and `resume` is false.
    public init(
        _ loaded: Recipe.Loaded, resume: Bool, observer: any TrainingObserver, group: ProcessGroup = .alone
    ) throws {
        try loaded.recipe.requireSupport()
        var recipe = loaded.recipe
        outline = try ModelOutline(loaded.recipe.model)
        text = loaded.text
        recipe.resolveRates(outline)
        self.recipe = recipe
        try recipe.requireParallel(ranks: group.size)
        let rows = group.size / recipe.parallel.tensor
        for stage in recipe.stages where !stage.batch.accumulation.isMultiple(of: rows) {
            throw TrainingError.ranks(stage: stage.name, microBatches: stage.batch.accumulation, ranks: rows)
        }
        try recipe.requireSharding(ranks: rows)
        mesh = try RankMesh(group, recipe.parallel)
        self.group = group
        self.observer = group.isMain ? observer : SilentObserver()
        threads = WorkerThreads(recipe.threads)
        checkpoints = CheckpointStore(output: URL(fileURLWithPath: recipe.output), keep: recipe.keep)
        let start = try checkpoints.begin(loaded, resume: resume, observer, group: group)
        state = start.state
        resumedFrom = start.resumedFrom
        files = start.files
        let description = try ModelFolder(start.folder)
        processor = description.processor
        family = description.family
        let needsHeldOut = recipe.stages.contains { $0.evaluateEvery > 0 }
        heldOut =
            needsHeldOut
            ? try recipe.heldOut.map { [recipe, processor] in
                try HeldOutLoss($0, recipe: recipe, processor: processor)
            } : nil
        questions =
            needsHeldOut
            ? try recipe.heldOut.map { [recipe, processor] in
                try HeldOutQuestions($0, seed: recipe.seed, processor: processor)
            } : nil
        let precision = recipe.precision.dtype, keepsWeights = recipe.keepsWeights
        let device = try recipe.device(of: group)
        func load(_ folder: ModelFolder) throws -> VisionLanguageModel {
            if folder.adapter != nil {
                throw CheckpointError.adapter(folder: folder.url.path)
            }
            let quantized = try recipe.quantizedNames(folder.family), away = try recipe.namesOnCPU(folder.family)
            return try folder.loadModel(
                dtype: keepsWeights ? precision : .float32, device: device, writable: !keepsWeights,
                quantizing: quantized.contains, keepingOnCPU: { away.contains($0) && !quantized.contains($0) })
        }
        switch (resumedFrom, recipe.model.start) {
        case (.some, _):
            model = try load(state.base.map { try ModelFolder(URL(fileURLWithPath: $0)) } ?? description)
        case (nil, .checkpoint(let path)): model = try load(ModelFolder(URL(fileURLWithPath: path)))
        case (nil, .preset): throw TrainingError.unsupported(recipe.unsupported())
        case (nil, .random):
            model = try description.family.makeModel(
                ParameterStore(
                    .random(seed: recipe.seed), dtype: .float32, device: device, writable: true,
                    keepingOnCPU: recipe.namesOnCPU(description.family).contains))
        }
        try mesh.require(model.store, hasExperts: model.decoder.configuration.experts != nil)
        for stage in recipe.stages where stage.memory.momentBits == 8 {
            try mesh.requireWholeBlocks(model, stage)
        }
        masters = keepsWeights ? [:] : model.store.valuesByName
        if let resumedFrom {
            // Each where the parameter lies.
            let store = model.store
            masters.merge(try CheckpointStore.masters(of: resumedFrom) { store[$0]?.tensor.device ?? device }) { $1 }
        }
    }

    deinit { threads.stop() }

    /// Trains until the last stage is done or a signal asks to stop.
    public func run() throws -> Outcome {
        try tellFacts()
        var last = resumedFrom
        while state.stage < recipe.stages.count {
            let stage = recipe.stages[state.stage]
            if state.stageStep < stage.steps {
                let (folder, stop) = try run(stage)
                if let stop { return .stopped(checkpoint: folder.path, signal: stop.signal) }
                last = folder
            }
            try leave(stage)
            state.stage += 1
            state.stageStep = 0
            state.losses = nil
            state.cursor = DataCursor()
        }
        return .finished(checkpoint: last?.path ?? recipe.output)
    }

    public var parameterCount: Int { model.store.parameters.reduce(0) { $0 + $1.count } }
    public var counters: TrainingState.Counters { state.counters }
    public var step: Int { state.step }

    /// Measures the model as it is on the held-out samples; nil where the recipe asks for no such thing.
    public func evaluate() throws -> EvaluationRecord? {
        try heldOut?(model, threads: threads, group: group, step: state.step)
    }

    /// Says what the run is, with the speed that it could have at best.
    private func tellFacts() throws {
        let own = try MatrixSpeed.quick(recipe.precision.dtype, threads: threads, device: model.store.device)
        let rates = try group.gathered([own], for: "measuring the machine", timeout: ProcessGroup.patience)
        let machine = RunFacts.Machine(
            recipe, device: model.store.device, ranks: group.size, matrixRate: rates.reduce(0) { $0 + $1[0] })
        observer.begin(
            RunFacts(
                name: recipe.name, step: state.step, isResumed: resumedFrom != nil,
                time: Date().timeIntervalSince1970, machine: machine, parameters: parameterCount, recipe: text))
    }

    /// Shows what the model answers to a few held-out samples.
    private func answerQuestions(_ runner: StageRunner) throws {
        // Where weights are spread or lie in pieces, no rank can answer by itself.
        guard let questions, !runner.optimizer.isSpread, !mesh.divides else { return }
        _ = try group.fromMain("answering held-out samples", timeout: ProcessGroup.patience) {
            observer.answers(try questions(model), step: state.step)
            return Data()
        }
    }

    /// A stage at its beginning, or where the state says.
    func makeRunner(_ index: Int) throws -> StageRunner {
        let stage = recipe.stages[index]
        return try StageRunner(
            stage, index: index, recipe: recipe, model: model, adapters: attachAdapters(stage), masters: masters,
            processor: processor, cursor: state.cursor, outline: outline, threads: threads, mesh: mesh)
    }

    private func run(_ stage: Recipe.Stage) throws -> (checkpoint: URL, stop: ProcessGroup.Stop?) {
        let runner = try makeRunner(state.stage)
        defer { runner.stop() }
        // The optimiser holds what learns; and what bf16 gives back exactly need not be held twice.
        for name in runner.optimizer.names { masters[name] = nil }
        try forgetExactMasters()
        try spread(runner)
        if let resumedFrom, state.stageStep > 0 { try CheckpointStore.restore(runner.optimizer, from: resumedFrom) }
        observer.begin(summary(stage, runner))
        // A stage that goes on was looked at when it began.
        var isChecked = state.stageStep > 0
        var clock = ContinuousClock.now
        while state.stageStep < stage.steps {
            if let stop = try group.agreedStop(shouldStop(step)) { return (try save(runner), stop) }
            let batch = try runner.nextBatch(isWhole: !isChecked)
            let waited = (ContinuousClock.now - clock).seconds
            didPack(batch.microBatches.map { $0.map(\.id) })
            if !isChecked { isChecked = try check(batch, runner) }
            try willStep(state.step)
            let (report, rate) = try runner.run(
                batch, stageStep: state.stageStep, history: state.losses ?? LossHistory())
            let now = ContinuousClock.now
            try account(report, batch, runner, seconds: (now - clock).seconds)
            var record = StepRecord(
                step: state.step, stage: stage.name, stageStep: state.stageStep, stageSteps: stage.steps, rate: rate,
                report: report, seconds: (now - clock).seconds, waited: waited,
                trainedSeconds: state.counters.seconds, skippedSteps: state.counters.skippedSteps,
                skippedSamples: state.counters.skippedSamples.values.reduce(0, +),
                isLogged: state.stageStep % stage.logEvery == 0 || state.stageStep == stage.steps)
            try runner.describe(batch, in: &record)
            observer.step(record)
            let isLast = state.stageStep == stage.steps
            if let heldOut, stage.evaluateEvery > 0, isLast || state.stageStep % stage.evaluateEvery == 0 {
                let measured = try heldOut(model, threads: threads, group: group, step: state.step)
                observer.evaluation(measured)
                if isLast || state.stageStep % stage.checkpointEvery == 0 { state.noteBest(measured) }
                try answerQuestions(runner)
            }
            // Evaluations and checkpoints are no part of the next step's time.
            defer { clock = .now }
            if state.stageStep % stage.checkpointEvery == 0, !isLast { _ = try save(runner) }
        }
        let folder = try save(runner)
        masters.merge(try runner.optimizer.release()) { $1 }
        try mesh.unite(model.store)
        return (folder, nil)
    }

    /// Counts what a step did, and stops a run that goes wrong.
    private func account(_ report: StepReport, _ batch: BatchPacker.Step, _ runner: StageRunner, seconds: Double) throws
    {
        state.step += 1
        state.stageStep += 1
        state.cursor = runner.cursor
        state.counters.samples += report.samples
        state.counters.tokens += report.tokens
        state.counters.supervisedTokens += report.supervisedTokens
        state.counters.patches += report.patches
        state.counters.pictures += report.pictures
        state.counters.seenSamples += batch.seen
        state.counters.seconds += seconds
        if report.halvedRows > 0 {
            state.counters.halvedRows = (state.counters.halvedRows ?? 0) + report.halvedRows
            observer.note("step \(state.step): \(report.halvedRows) rows did not fit into memory and were halved")
        }
        for sample in batch.skipped { state.counters.skippedSamples[sample.reason.rawValue, default: 0] += 1 }
        if let last = batch.skipped.last {
            observer.skipped(batch.skipped, step: state.step)
            let skipped = state.counters.skippedSamples.values.reduce(0, +)
            // A handful may be bad by chance before the share means anything.
            let isTooMuch = Double(skipped) > recipe.maxSkippedSamples * Double(state.counters.seenSamples)
            if skipped > 10 && isTooMuch || report.samples == 0 {
                throw TrainingError.samples(skipped: skipped, seen: state.counters.seenSamples, last: last)
            }
        }
        if report.isApplied {
            state.skippedInARow = 0
            if runner.stage.skipSpikes != nil {
                var history = state.losses ?? LossHistory()
                history.add(report.loss)
                state.losses = history
            }
            return
        }
        state.counters.skippedSteps += 1
        state.skippedInARow += 1
        let samples = batch.microBatches.joined().map(\.id)
        observer.note(
            "step \(state.step) skipped: "
                + (report.problem ?? "loss \(report.loss), gradient norm \(report.gradientNorm)")
                + "; samples " + samples.joined(separator: ", "))
        if state.skippedInARow > recipe.maxSkippedSteps {
            throw TrainingError.steps(skipped: state.skippedInARow, step: state.step, samples: samples)
        }
    }

    /// Before the first step of a stage: there must be something to learn, in reach of all that shall learn, and
    /// pictures must make a difference.
    ///
    /// - Returns: false where the batch has no picture to judge by; the next one will be looked at.
    private func check(_ batch: BatchPacker.Step, _ runner: StageRunner) throws -> Bool {
        let check: LearningCheck
        do { check = try runner.check(batch) } catch let error as TorchError
            where error.kind == .outOfMemory && runner.stage.memory.whenFull != .stop
        {
            observer.note("the batch does not fit into memory, so that the next one is looked at first: \(error)")
            return false
        }
        if check.pictures == 0, check.reachesAllButVision, state.stageStep < Self.stepsUntilPictures { return false }
        observer.note(
            "first batch: \(check.samples) samples, \(check.tokens) tokens, \(check.patches) patches; loss on "
                + "\(check.supervised) tokens (\(Int((check.supervisedShare * 100).rounded())) %)")
        if let seen = check.lossWithPictures, let blind = check.lossWithNoise {
            observer.note("loss \(seen) with pictures, \(blind) with noise in their place")
        }
        // Samples that cannot be used, and losses that are not finite, have limits of their own.
        guard check.samples > 0, check.loss.isFinite else { return true }
        let problems = check.problems(minSupervised: recipe.minSupervised)
        if !problems.isEmpty { throw TrainingError.check(stage: runner.stage.name, problems: problems) }
        return true
    }

    /// Steps without a picture after which a stage that trains the vision part is taken for one that has none.
    private static let stepsUntilPictures = 20

    /// Leaves each rank its share of the blocks' weights, where the recipe says so.
    func spread(_ runner: StageRunner) throws {
        try runner.optimizer.spread()
        guard runner.optimizer.isSpread, recipe.precision == .f32 else { return }
        // In float32 these are the weights themselves.
        for parameter in model.store.blocks.joined() where !parameter.isConstant { masters[parameter.name] = nil }
    }

    /// Frees float32 copies of frozen weights that equal what the passes compute with.
    private func forgetExactMasters() throws {
        guard recipe.precision != .f32, adapters == nil else { return }
        for parameter in model.store.parameters {
            // Of what lies in pieces, all ranks would have to find the same.
            guard let master = masters[parameter.name], !parameter.tensor.requiresGradient, parameter.partition == nil
            else { continue }
            let isExact = try withoutGradient {
                try (parameter.tensor.to(.float32) - master).abs().amax().item() == 0
            }
            if isExact { masters[parameter.name] = nil }
        }
    }

    private func save(_ runner: StageRunner) throws -> URL {
        var frozen: [String: Tensor] = [:]
        if recipe.precision != .f32, adapters == nil {
            frozen = masters.filter { !runner.optimizer.learns($0.key) }
        }
        // What each rank holds a share of comes together before one of them writes.
        let state = self.state, sources = try runner.optimizer.tensorSources()
        let weights = try runner.optimizer.spreadWeights()
            .merging(mesh.wholeWeights(adapters?.store ?? model.store)) { $1 }
        let averages = try runner.optimizer.averages()
        return try group.folderFromMain("saving a checkpoint") {
            let folder = try checkpoints.save(
                files: files, optimizer: sources, masters: frozen, state: state, dtype: recipe.precision.dtype,
                writeWeights: { folder in
                    try writeWeights(to: folder, replacing: weights)
                    if !averages.isEmpty {
                        try writeAverage(to: folder, replacing: weights.merging(averages) { $1 })
                    }
                })
            observer.checkpoint(folder, step: state.step)
            return folder
        }
    }

    func summary(_ stage: Recipe.Stage, _ runner: StageRunner) -> StageSummary {
        let selection = ParameterSelection(stage.train, of: model)
        var parts: [(part: String, learning: Int, all: Int)] = []
        for parameter in model.store.parameters {
            let part = ParameterSelection.Part(model.part(parameter.name)).rawValue
            let learning =
                (selection.contains(parameter.name) ? parameter.wholeShape.reduce(1, *) : 0)
                + (parameter.adapter?.parameters.reduce(0) { $0 + $1.count } ?? 0)
            if let index = parts.firstIndex(where: { $0.part == part }) {
                parts[index].learning += learning
                parts[index].all += parameter.wholeShape.reduce(1, *)
            } else {
                parts.append((part, learning, parameter.wholeShape.reduce(1, *)))
            }
        }
        return StageSummary(
            name: stage.name, index: state.stage, stages: recipe.stages.count, steps: stage.steps,
            done: state.stageStep, learning: runner.optimizer.parameterCount,
            parameters: model.store.parameters.reduce(0) { $0 + $1.wholeShape.reduce(1, *) }, parts: parts)
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

extension ParameterStore {
    var valuesByName: [String: Tensor] {
        Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.tensor) })
    }
}

extension Optimizer {
    /// Names of parameters whose collected gradient is nothing at all.
    func unreached() throws -> [String] {
        try largestGradients().filter { parameter, gradient in
            // Of the region heads a batch without writing or charts leaves parts idle, and the gradient of a single
            // number, such as a gate, may round to zero.
            !parameter.name.hasPrefix(RegionHeads.prefix) && parameter.count > 1 && gradient == 0
        }.map(\.parameter.name)
    }
}

extension Recipe.Model {
    /// Copies what stands beside weights, with the vocabulary from where the recipe says.
    func copyFiles(to target: URL) throws {
        try ModelFiles(folder: URL(fileURLWithPath: folder)).copy(to: target)
        if let vocabulary {
            try ModelFiles(folder: URL(fileURLWithPath: vocabulary)).copy(["vocab.json", "merges.txt"], to: target)
        }
        if let configuration { try ModelFiles(folder: target).merge(configuration, into: "config.json") }
    }

    /// Writes the recipe's limits into `preprocessor_config.json`, so that checkpoints carry what was trained with.
    func applyPixelLimits(in files: ModelFiles) throws {
        var values: [String: Any] = [:]
        if let minPixels { values["min_pixels"] = minPixels; values["size.min_pixels"] = minPixels }
        if let maxPixels { values["max_pixels"] = maxPixels; values["size.max_pixels"] = maxPixels }
        if !values.isEmpty { try files.set(values, in: "preprocessor_config.json") }
    }
}
