public import Models
internal import NN
internal import Torch

/// What one step did.
public struct StepReport: Sendable {
    /// Mean over the supervised tokens of the whole batch.
    public var loss: Double
    /// Before clipping.
    public var gradientNorm: Double
    public var tokens = 0
    public var supervisedTokens = 0
    public var patches = 0
    public var pictures = 0
    public var samples = 0
    /// False if loss or gradient were not finite, or the loss above the limit: then nothing was changed.
    public var isApplied = true
    /// Mean over the places that show something, where a stage teaches them.
    public var regionLoss: Double? { regionLosses.isEmpty ? nil : regionLosses.values.reduce(0, +) }
    /// Its parts by name.
    public var regionLosses: [String: Double] = [:]
}

/// Forward and backward passes over the micro-batches of one step, and the update.
public struct TrainingStep {
    public let model: VisionLanguageModel
    public let optimizer: Optimizer
    public var memory: Recipe.Memory
    private let threads: WorkerThreads
    private let regions: (heads: RegionHeads, settings: Recipe.Regions)?

    /// - Parameter threads: micro-batches computed at the same time, each by one thread.
    public init(
        model: VisionLanguageModel, optimizer: Optimizer, memory: Recipe.Memory = .init(), threads: Int = 1
    ) {
        self.init(model: model, optimizer: optimizer, memory: memory, threads: WorkerThreads(threads))
    }

    init(
        model: VisionLanguageModel, optimizer: Optimizer, memory: Recipe.Memory = .init(), threads: WorkerThreads,
        regions: (RegionHeads, Recipe.Regions)? = nil
    ) {
        self.regions = regions
        self.model = model
        self.optimizer = optimizer
        self.memory = memory
        self.threads = threads
    }

    /// Gradients of the mean over all supervised tokens of all micro-batches, whatever their number: splitting a batch
    /// differently changes nothing.
    ///
    /// - Parameter seed: of dropout's choices; nil drops nothing.
    public func accumulate(_ microBatches: [[ProcessedSequence]], seed: UInt64? = nil) throws -> StepReport {
        try accumulate(microBatches, regions: microBatches.map { $0.map { _ in nil } }, seed: seed)
    }

    /// - Parameter targets: what is known of the pictures of each sequence.
    func accumulate(
        _ microBatches: [[ProcessedSequence]], regions targets: [[RegionTargets?]], seed: UInt64?
    ) throws -> StepReport {
        var report = StepReport(loss: 0, gradientNorm: 0)
        for sequence in microBatches.joined() {
            report.samples += 1
            report.tokens += sequence.rows.count
            report.supervisedTokens += sequence.learnedCount
            report.patches += sequence.patchCount
            report.pictures += sequence.items.count
        }
        try optimizer.zeroGradients()
        let share = 1 / Double(max(1, report.supervisedTokens))
        let places = targets.joined().reduce(0) { $0 + ($1?.foreground.count ?? 0) }
        let regionShare = (regions?.settings.weight ?? 0) / Double(max(1, places))
        let leaves = optimizer.leaves
        // Gradients are added in the order of the micro-batches, so that the sum does not depend on who is first.
        for start in stride(from: 0, to: microBatches.count, by: threads.count) {
            let wave = microBatches[start..<min(start + threads.count, microBatches.count)]
            let parts = try threads.map(wave.count) { [model, memory, regions] index in
                let number = start + index, known = targets[number]
                // Where one of the sequences is not known, the order of features is not either.
                let lesson =
                    known.contains { $0 == nil }
                    ? nil
                    : regions.map {
                        RegionLesson(
                            heads: $0.heads, targets: known.compactMap(\.self), share: regionShare,
                            isAlone: !$0.settings.answers)
                    }
                // Of the place in the step, not of the thread.
                let random = try seed.map {
                    try RandomGenerator(seed: $0 &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
                }
                return try DropoutRandom.$generator.withValue(random) {
                    try model.gradients(
                        of: wave[number], share: share, lesson: lesson, for: leaves, memory: memory)
                }
            }
            for part in parts {
                guard let part else { continue }
                report.loss += part.loss
                for (lesson, loss) in part.lessons {
                    report.regionLosses[lesson.rawValue, default: 0] += loss / Double(max(1, places))
                }
                try optimizer.add(part.gradients)
            }
        }
        report.gradientNorm = try optimizer.gradientNorm()
        return report
    }

    /// One whole step. Where loss or gradient are not finite, or the loss is above `limit`, weights and moments stay as
    /// they are.
    public func callAsFunction(
        _ microBatches: [[ProcessedSequence]], rate: Double, clip: Double?, limit: Double? = nil, seed: UInt64? = nil
    ) throws -> StepReport {
        try self(
            microBatches, regions: microBatches.map { $0.map { _ in nil } }, rate: rate, clip: clip, limit: limit,
            seed: seed)
    }

    func callAsFunction(
        _ microBatches: [[ProcessedSequence]], regions: [[RegionTargets?]], rate: Double, clip: Double?,
        limit: Double? = nil, seed: UInt64? = nil
    ) throws -> StepReport {
        var report = try accumulate(microBatches, regions: regions, seed: seed)
        report.isApplied =
            try report.loss <= limit ?? .infinity
            && optimizer.update(loss: report.loss, norm: report.gradientNorm, rate: rate, clip: clip)
        return report
    }
}

/// What a micro-batch's pictures teach beside its answers.
private struct RegionLesson {
    var heads: RegionHeads
    var targets: [RegionTargets]
    /// Factor of the summed loss.
    var share: Double
    /// Whether answers are left out.
    var isAlone: Bool
}

extension VisionLanguageModel {
    /// The loss of one micro-batch times `share`, and its gradients for `leaves`; nil where nothing is supervised.
    fileprivate func gradients(
        of sequences: [ProcessedSequence], share: Double, lesson: RegionLesson?, for leaves: [Tensor],
        memory: Recipe.Memory
    ) throws -> (loss: Double, lessons: [(RegionHeads.Lesson, Double)], gradients: [Tensor?])? {
        try withGradient {
            let input = try ModelInput(sequences), context = ForwardContext(memory)
            let noted = lesson?.heads.observation(of: context)
            let part: Tensor
            if lesson?.isAlone == true, let vision {
                if !input.items.isEmpty {
                    try context.observe("vision.features", vision.features(input.items, context))
                }
                part = try .scalar(0, device: decoder.embedding.weight.tensor.device)
            } else {
                guard let sum = try lossSum(sequences, input, context, rows: memory.lossRows) else { return nil }
                part = try sum * share
            }
            var total = part
            var lessons: [(RegionHeads.Lesson, Double)] = []
            if let lesson, let noted {
                for (kind, loss) in try lesson.heads.losses(noted, input, lesson.targets) {
                    total = try total + loss * lesson.share
                    lessons.append((kind, try loss.item()))
                }
            }
            guard total.requiresGradient else { return nil }
            let gradients = try Tensor.gradients(
                of: [total], weightedBy: [.scalar(1, device: total.device)], for: leaves)
            return (try part.item(), lessons, gradients)
        }
    }
}
