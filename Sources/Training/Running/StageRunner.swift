internal import Data
internal import Foundation
internal import Models
internal import NN
internal import Torch

/// One stage at work: what it trains, and the threads that prepare its samples.
final class StageRunner {
    let stage: Recipe.Stage
    let optimizer: Optimizer
    let model: VisionLanguageModel
    /// What tensors held on the model's device when model and optimiser were ready; nil where that is not known. On the CPU
    /// they are counted only while `TensorMemory` counts.
    let setupBytes: Int?
    private let training: TrainingStep
    private let cost: StepCost
    private let exchange: SampleExchange
    private let mesh: RankMesh
    private var packer: BatchPacker
    /// Where the stage's random choices start from.
    private let seed: UInt64

    /// - Parameters:
    ///   - adapters: what learns in the model's place, if anything.
    ///   - masters: float32 values of all parameters; those of the frozen ones stay in it.
    init(
        _ stage: Recipe.Stage, index: Int, recipe: Recipe, model: VisionLanguageModel,
        adapters: LowRankAdapters?, masters: [String: Tensor], processor: any ConversationProcessor, cursor: DataCursor,
        outline: ModelOutline, threads: WorkerThreads, mesh: RankMesh
    ) throws {
        self.stage = stage
        self.mesh = mesh
        cost = StepCost(stage, of: outline)
        self.model = model
        let dtype = recipe.precision.dtype
        let selection = ParameterSelection(stage.train, of: model)
        let multiples = ParameterSelection(stage.multiples.map(\.pattern), of: model)
        let names = model.store.parameters.map(\.name)
        for pattern in selection.idle(among: names)
            + multiples.idle(among: adapters?.store.parameters.map(\.name) ?? names)
        {
            throw TrainingError.nothingMatches(stage: stage.name, pattern: pattern)
        }
        if stage.regions != nil, processor.visionPolicy?.featuresHavePlaces != true {
            throw TrainingError.check(
                stage: stage.name,
                problems: ["regions tell what stands where, but this model's features are of no places; leave them out"]
            )
        }
        let heads = try stage.regions.map { try RegionHeads(model, layer: $0.layer, seed: recipe.seed) }
        let learning =
            (adapters?.store.parameters
                ?? model.store.parameters.filter { !$0.isConstant && selection.contains($0.name) })
            + (heads?.store.parameters ?? [])
        for parameter in model.store.parameters where parameter.isConstant || !selection.contains(parameter.name) {
            guard let master = masters[parameter.name] else { continue }
            parameter.tensor = try master.to(dtype)
        }
        let device = model.store.device
        let away = stage.memory.offload == .parameters ? Set(model.store.blocks.joined().map(\.name)) : []
        for parameter in model.store.parameters where parameter.quantized == nil {
            let isAway = away.contains(parameter.name) && !parameter.isConstant
            parameter.tensor = try withoutGradient { try parameter.tensor.to(isAway ? .cpu : device) }
        }
        try mesh.divide(model.store)
        let decay = LayerDecay(
            stage.layerDecay, names: names, part: { ParameterSelection.Part(model.part($0)).rawValue })
        optimizer = try Optimizer(
            learning, masters: masters, dtype: dtype,
            settings: AdamWOptions(
                rate: stage.learningRate, beta1: stage.beta1, beta2: stage.beta2, epsilon: stage.epsilon,
                weightDecay: stage.weightDecay),
            kind: stage.optimizer, hasSmallState: stage.memory.momentBits == 8, averageDecay: stage.average?.decay,
            offload: stage.memory.offload, device: device, sharding: recipe.sharding ?? .none, ranks: mesh.data,
            everyone: mesh.everyone, blocks: model.store.blocks,
            rateFactor: { name in
                (stage.multiples.last { multiples.matches($0.pattern, name) }?.factor ?? 1) * decay.factor(name)
            },
            orthogonalizes: { parameter in
                parameter.isOrthogonalizable && !parameter.name.hasPrefix(RegionHeads.prefix)
                    && ![.embedding, .head].contains(model.part(parameter.name))
            })
        try mesh.cut(model.store)
        if let regions = stage.regions, regions.look > 0, stage.memory.recomputed.contains(.decoder) {
            throw TrainingError.cannotLook(stage: stage.name)
        }
        let processor = try stage.pictures?.limited(processor) ?? processor
        var training = TrainingStep(
            model: model, optimizer: optimizer, memory: stage.memory, threads: threads,
            regions: heads.flatMap { heads in stage.regions.map { (heads, $0) } })
        training.loss = stage.loss
        training.dropPath = stage.dropPath
        self.training = training
        setupBytes = TensorMemory.use(on: model.store.device)?.held
        seed = recipe.stageSeed(index)
        let mixture = SampleMixture(try stage.data.opened(for: processor), seed: seed)
        let withRegions = heads != nil
        let ranks = mesh.everyone
        let queue = SampleQueue(
            first: cursor.waiting, next: cursor.next, workers: recipe.workers,
            capacity: stage.batch.lookAhead * 2 / ranks.size + SampleExchange.perRank, share: (ranks.rank, ranks.size),
            watch: .init(patience: .seconds(recipe.sampleTimeout), over: mixture)
        ) { number in
            PreparedSample(number, mixture.place(number), processor, withRegions: withRegions)
        }
        exchange = SampleExchange(queue, ranks)
        packer = BatchPacker(stage.batch, from: cursor)
    }

    var cursor: DataCursor { packer.cursor }

    /// Waits for the next batch, of which this rank gets what it needs.
    ///
    /// - Parameter isWhole: whether every rank gets all of it.
    func nextBatch(isWhole: Bool = false) throws -> BatchPacker.Step {
        var step = try packer.step(exchange.next)
        let deal = training.deal(step.microBatches, cost: cost.operations)
        step.deal = deal
        let counts = step.microBatches.map(\.count), ranks = mesh.everyone.size
        let all = counts.enumerated().flatMap { number, count in
            (0..<count).map { BatchDeal.Place(microBatch: number, index: $0) }
        }
        let perRow = ranks / mesh.data.size
        let needs = (0..<ranks).map { isWhole ? all : deal.needed(by: $0 / perRow, counts) }
        try exchange.deliver(&step, to: needs, waiting: packer.cursor.waiting)
        return step
    }

    /// - Parameter history: the losses of the stage so far.
    func run(_ batch: BatchPacker.Step, stageStep: Int, history: LossHistory) throws -> (
        report: StepReport, rate: Double
    ) {
        let rate = stage.learningRate * stage.schedule.factor(step: stageStep, of: stage.steps)
        let report = try training(
            batch.microBatches, deal: batch.deal, rate: rate, clip: stage.clip,
            limit: stage.skipSpikes.flatMap(history.limit),
            seed: seed ^ UInt64(stageStep) &* 0xD1B5_4A32_D192_ED03)
        return (report, rate)
    }

    /// What the log tells of a step beside what it did: how much work it was, how full its rows were, where its data came
    /// from and, where asked for, how the gradients' norm is made up.
    func describe(_ batch: BatchPacker.Step, in record: inout StepRecord) throws {
        record.operations = batch.microBatches.reduce(0) { $0 + cost.operations($1.amount) }
        record.room = stage.batch.tokens * stage.batch.accumulation
        for sample in batch.microBatches.joined() {
            record.sources[sample.source, default: SourceShare()] += SourceShare(
                samples: 1, tokens: sample.amount.tokens)
        }
        if !record.report.isApplied { record.lostSamples = batch.microBatches.joined().map(\.id) }
        guard record.isLogged else { return }
        record.gradientNorms = try optimizer.gradientNorms(total: record.report.gradientNorm) { [model] name in
            name.hasPrefix(RegionHeads.prefix) ? "regions" : ParameterSelection.Part(model.part(name)).rawValue
        }
    }

    /// The gradients of a step, which changes nothing.
    func gradients(of rows: [[PreparedSample]]) throws -> StepReport {
        try training.accumulate(rows, deal: nil, seed: nil)
    }

    func stop() { exchange.stop() }
}

extension Recipe {
    /// The seed of a stage's data, new adapters and dropout.
    func stageSeed(_ index: Int) -> UInt64 { seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15 }
}

extension Recipe.Pictures {
    /// The processor with the stage's limits.
    func limited(_ processor: any ConversationProcessor) throws -> any ConversationProcessor {
        var result = processor
        if minPixels != nil || maxPixels != nil { result = try result.limitingPixels(min: minPixels, max: maxPixels) }
        if let maxTiles { result = try result.limitingTiles(maxTiles) }
        return result
    }
}

extension [Recipe.Source] {
    /// The sources that are drawn from at all.
    func opened(for processor: any ConversationProcessor) throws
        -> [(source: any TrainingDataSource, weight: Double)]
    {
        try filter { $0.weight > 0 }.map { (try $0.open(for: processor), $0.weight) }
    }
}

extension Recipe.Source {
    func open(for processor: any ConversationProcessor) throws -> any TrainingDataSource {
        let source: any TrainingDataSource
        switch kind {
        case .role(let role): throw TrainingError.unsupported(["nothing says where the data of '\(role)' lies"])
        case .synthetic(let options, let spells): source = try SyntheticSource(options, spells: spells)
        case .messages(let file, let images, let unmarked):
            source = ConversationSource(
                try ConversationFile(
                    URL(fileURLWithPath: file), images: URL(fileURLWithPath: images), unmarked: unmarked),
                sampling: processor.videoSampling)
        }
        return isBlind ? BlindSource(source) : source
    }
}

extension PreparedSample {
    init(
        _ number: Int, _ place: (source: any TrainingDataSource, index: Int), _ processor: any ConversationProcessor,
        withRegions: Bool = false
    ) {
        let sample: TrainingSample, source = place.source.name
        do { sample = try place.source.sample(at: place.index) } catch {
            let id = place.source.id(of: place.index)
            self.init(
                number: number, id: id, source: source,
                result: .failure(SkippedSample(id: id, reason: .unreadable, message: "\(error)")))
            return
        }
        do {
            var sequence = try processor.process(sample.conversation, .training)
            if sample.isSpelled {
                try sequence.spellOut(processor.tokenizer) { number in
                    sample.answers.indices.contains(number) && !sample.answers[number].reads.isEmpty
                }
            }
            let regions =
                withRegions && !sample.regions.isEmpty
                ? RegionTargets(
                    sequence, pictures: sample.regions, answers: sample.answers, tokenizer: processor.tokenizer) : nil
            self.init(number: number, id: sample.id, source: source, result: .success(sequence), regions: regions)
        } catch {
            self.init(
                number: number, id: sample.id, source: source,
                result: .failure(SkippedSample(id: sample.id, reason: .unprocessable, message: "\(error)")))
        }
    }
}
