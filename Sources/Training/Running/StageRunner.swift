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
    /// What tensors held when model and optimiser were ready; counted only while `TensorMemory` counts.
    let setupBytes: Int
    private let training: TrainingStep
    private let queue: SampleQueue
    private var packer: BatchPacker
    /// Where the stage's random choices start from.
    private let seed: UInt64

    /// - Parameters:
    ///   - adapters: what learns in the model's place, if anything.
    ///   - masters: float32 values of all parameters; those of the frozen ones stay in it.
    init(
        _ stage: Recipe.Stage, index: Int, recipe: Recipe, model: VisionLanguageModel,
        adapters: LowRankAdapters?, masters: [String: Tensor], processor: any ConversationProcessor, cursor: DataCursor,
        threads: WorkerThreads
    ) throws {
        self.stage = stage
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
        let heads = try stage.regions.map { try RegionHeads(model, layer: $0.layer, seed: recipe.seed) }
        let learning =
            (adapters?.store.parameters
                ?? model.store.parameters.filter { !$0.isConstant && selection.contains($0.name) })
            + (heads?.store.parameters ?? [])
        for parameter in model.store.parameters where parameter.isConstant || !selection.contains(parameter.name) {
            guard let master = masters[parameter.name] else { continue }
            parameter.tensor = try master.to(dtype)
        }
        let decay = LayerDecay(
            stage.layerDecay, names: names, part: { ParameterSelection.Part(model.part($0)).rawValue })
        optimizer = try Optimizer(
            learning, masters: masters, dtype: dtype,
            settings: AdamWOptions(
                rate: stage.learningRate, beta1: stage.beta1, beta2: stage.beta2, epsilon: stage.epsilon,
                weightDecay: stage.weightDecay),
            hasSmallState: stage.memory.momentBits == 8,
            rateFactor: { name in
                (stage.multiples.last { multiples.matches($0.pattern, name) }?.factor ?? 1) * decay.factor(name)
            })
        if stage.memory.recomputed.contains(.decoder), !model.decoder.canRecompute {
            throw TrainingError.cannotRecompute(stage: stage.name)
        }
        let processor = try stage.pictures?.limited(processor) ?? processor
        training = TrainingStep(
            model: model, optimizer: optimizer, memory: stage.memory, threads: threads,
            regions: heads.flatMap { heads in stage.regions.map { (heads, $0) } })
        setupBytes = TensorMemory.held
        seed = recipe.stageSeed(index)
        let mixture = SampleMixture(try stage.data.opened(for: processor), seed: seed)
        let withRegions = heads != nil
        queue = SampleQueue(
            first: cursor.waiting, next: cursor.next, workers: recipe.workers, capacity: stage.batch.lookAhead * 2
        ) { number in
            PreparedSample(number, mixture.place(number), processor, withRegions: withRegions)
        }
        packer = BatchPacker(stage.batch, from: cursor)
    }

    var cursor: DataCursor { packer.cursor }

    /// Waits for the next batch.
    func nextBatch() -> BatchPacker.Step { packer.step(queue.pop) }

    /// - Parameter history: the losses of the stage so far.
    func run(_ batch: BatchPacker.Step, stageStep: Int, history: LossHistory) throws -> (
        report: StepReport, rate: Double
    ) {
        let rate = stage.learningRate * stage.schedule.factor(step: stageStep, of: stage.steps)
        let report = try training(
            batch.microBatches.map { $0.compactMap(\.sequence) }, regions: Self.regions(of: batch.microBatches),
            rate: rate, clip: stage.clip, limit: stage.skipSpikes.flatMap(history.limit),
            seed: seed ^ UInt64(stageStep) &* 0xD1B5_4A32_D192_ED03)
        return (report, rate)
    }

    /// The gradients of a step, which changes nothing.
    func gradients(of rows: [[PreparedSample]]) throws -> StepReport {
        try training.accumulate(rows.map { $0.compactMap(\.sequence) }, regions: Self.regions(of: rows), seed: nil)
    }

    /// What is known of the pictures of each sequence.
    private static func regions(of rows: [[PreparedSample]]) -> [[RegionTargets?]] {
        rows.map { $0.compactMap { $0.sequence == nil ? nil : .some($0.regions) } }
    }

    func stop() { queue.stop() }
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
        case .synthetic(let options): source = try SyntheticSource(options)
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
        self.number = number
        let sample: TrainingSample
        do { sample = try place.source.sample(at: place.index) } catch {
            id = place.source.id(of: place.index)
            result = .failure(SkippedSample(id: id, reason: .unreadable, message: "\(error)"))
            return
        }
        id = sample.id
        do {
            let sequence = try processor.process(sample.conversation, .training)
            result = .success(sequence)
            if withRegions, !sample.regions.isEmpty {
                regions = RegionTargets(sequence, pictures: sample.regions)
            }
        } catch {
            result = .failure(SkippedSample(id: id, reason: .unprocessable, message: "\(error)"))
        }
    }
}
