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
    /// False if loss or gradient were not finite: then nothing was changed.
    public var isApplied = true
}

/// Forward and backward passes over the micro-batches of one step, and the update.
public struct TrainingStep {
    public let model: VisionLanguageModel
    public let optimizer: Optimizer
    private let threads: WorkerThreads

    /// - Parameter threads: micro-batches computed at the same time, each by one thread.
    public init(model: VisionLanguageModel, optimizer: Optimizer, threads: Int = 1) {
        self.init(model: model, optimizer: optimizer, threads: WorkerThreads(threads))
    }

    init(model: VisionLanguageModel, optimizer: Optimizer, threads: WorkerThreads) {
        self.model = model
        self.optimizer = optimizer
        self.threads = threads
    }

    /// Gradients of the mean over all supervised tokens of all micro-batches, whatever their number: splitting a batch
    /// differently changes nothing.
    ///
    /// - Parameter seed: of dropout's choices; nil drops nothing.
    public func accumulate(_ microBatches: [[ProcessedSequence]], seed: UInt64? = nil) throws -> StepReport {
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
        let leaves = optimizer.leaves
        // Gradients are added in the order of the micro-batches, so that the sum does not depend on who is first.
        for start in stride(from: 0, to: microBatches.count, by: threads.count) {
            let wave = microBatches[start..<min(start + threads.count, microBatches.count)]
            let parts = try threads.map(wave.count) { [model] index in
                let number = start + index
                // Of the place in the step, not of the thread.
                let random = try seed.map {
                    try RandomGenerator(seed: $0 &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
                }
                return try DropoutRandom.$generator.withValue(random) {
                    try model.gradients(of: wave[number], share: share, for: leaves)
                }
            }
            for part in parts {
                guard let part else { continue }
                report.loss += part.loss
                try optimizer.add(part.gradients)
            }
        }
        report.gradientNorm = try optimizer.gradientNorm()
        return report
    }

    /// One whole step. Where loss or gradient are not finite, weights and moments stay as they are.
    public func callAsFunction(
        _ microBatches: [[ProcessedSequence]], rate: Double, clip: Double?, seed: UInt64? = nil
    ) throws -> StepReport {
        var report = try accumulate(microBatches, seed: seed)
        guard report.loss.isFinite, report.gradientNorm.isFinite else {
            report.isApplied = false
            return report
        }
        // As PyTorch's clip_grad_norm_ has it.
        if let clip, report.gradientNorm > clip { try optimizer.scaleGradients(clip / (report.gradientNorm + 1e-6)) }
        try optimizer.step(rate: rate)
        return report
    }
}

extension VisionLanguageModel {
    /// The loss of one micro-batch times `share`, and its gradients for `leaves`; nil where nothing is supervised.
    fileprivate func gradients(
        of sequences: [ProcessedSequence], share: Double, for leaves: [Tensor]
    ) throws -> (loss: Double, gradients: [Tensor?])? {
        try withGradient {
            guard let sum = try lossSum(sequences) else { return nil }
            let part = try sum * share
            let gradients = try Tensor.gradients(
                of: [part], weightedBy: [.scalar(1, device: part.device)], for: leaves)
            return (try part.item(), gradients)
        }
    }
}
