internal import Models
internal import Torch

/// Loss and accuracy on a fixed set of samples, with the right answers given as context.
struct HeldOutLoss {
    private let batches: [[ProcessedSequence]]
    /// The same samples with noise for pictures; empty unless the recipe asks for them.
    private let blindBatches: [[ProcessedSequence]]

    /// Prepares the samples once. A held-out sample that cannot be used is an error: the set would not be the same.
    init(_ heldOut: Recipe.HeldOut, recipe: Recipe, processor: any ConversationProcessor) throws {
        let sources = try heldOut.data.opened(for: processor)
        func batches(_ sources: [(source: any TrainingDataSource, weight: Double)]) throws -> [[ProcessedSequence]] {
            try Self.batches(SampleMixture(sources, seed: recipe.seed), count: heldOut.samples, processor)
        }
        self.batches = try batches(sources)
        blindBatches = heldOut.comparesBlind ? try batches(sources.map { (BlindSource($0.source), $0.weight) }) : []
    }

    private static func batches(
        _ mixture: SampleMixture, count: Int, _ processor: any ConversationProcessor
    ) throws -> [[ProcessedSequence]] {
        var batches: [[ProcessedSequence]] = []
        var tokens = 0
        for number in 0..<count {
            let sample = PreparedSample(number, mixture.place(number), processor)
            let sequence = try sample.result.get()
            if batches.isEmpty || tokens + sequence.rows.count > 4096 {
                batches.append([])
                tokens = 0
            }
            tokens += sequence.rows.count
            batches[batches.count - 1].append(sequence)
        }
        return batches
    }

    func callAsFunction(_ model: VisionLanguageModel, threads: WorkerThreads, step: Int) throws -> EvaluationRecord {
        let (loss, accuracy) = try scores(batches, model, threads)
        var record = EvaluationRecord(
            step: step, loss: loss, accuracy: accuracy, samples: batches.reduce(0) { $0 + $1.count })
        if !blindBatches.isEmpty { record.blind = .init(try scores(blindBatches, model, threads)) }
        return record
    }

    private func scores(
        _ batches: [[ProcessedSequence]], _ model: VisionLanguageModel, _ threads: WorkerThreads
    ) throws -> (loss: Double, accuracy: Double) {
        let parts = try threads.map(batches.count) { index in
            try withoutGradient { try model.supervisedScores(batches[index]) }
        }
        let tokens = Double(max(1, parts.reduce(0) { $0 + $1.tokens }))
        return (parts.reduce(0) { $0 + $1.loss } / tokens, Double(parts.reduce(0) { $0 + $1.right }) / tokens)
    }
}

extension VisionLanguageModel {
    /// The summed loss of the supervised tokens, and how many of them get the highest score.
    fileprivate func supervisedScores(_ sequences: [ProcessedSequence]) throws -> (
        loss: Double, right: Int, tokens: Int
    ) {
        guard let (scores, targets) = try supervisedLogits(sequences) else { return (0, 0, 0) }
        let loss = try scores.crossEntropy(targets, reduction: .sum).item()
        let right = try scores.argmax(-1).eq(targets).to(.int64).sum().item()
        return (loss, Int(right), targets.count)
    }
}
