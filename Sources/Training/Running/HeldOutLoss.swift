internal import Models
internal import NN
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
            _ = try sample.size.get()
            guard let sequence = sample.sequence else { continue }
            if batches.isEmpty || tokens + sequence.rows.count > 4096 {
                batches.append([])
                tokens = 0
            }
            tokens += sequence.rows.count
            batches[batches.count - 1].append(sequence)
        }
        return batches
    }

    func callAsFunction(
        _ model: VisionLanguageModel, threads: WorkerThreads, group: ProcessGroup = .alone, step: Int
    ) throws -> EvaluationRecord {
        let (loss, accuracy) = try scores(batches, model, threads, group)
        var record = EvaluationRecord(
            step: step, loss: loss, accuracy: accuracy, samples: batches.reduce(0) { $0 + $1.count })
        if !blindBatches.isEmpty {
            let (loss, accuracy) = try scores(blindBatches, model, threads, group)
            record.blind = .init(loss: loss, accuracy: accuracy)
        }
        return record
    }

    private func scores(
        _ batches: [[ProcessedSequence]], _ model: VisionLanguageModel, _ threads: WorkerThreads, _ group: ProcessGroup
    ) throws -> (loss: Double, accuracy: Double) {
        // Where weights are spread or lie in pieces, every rank must go through the same blocks as the others.
        let isShared = !model.store.parameters.contains { $0.spread != nil || $0.partition != nil }
        let own = batches.indices.filter { !isShared || $0 % group.size == group.rank }
        let parts = try threads.map(own.count) { index in
            try withoutGradient { try model.supervisedScores(batches[own[index]]) }
        }
        let sums = [
            parts.reduce(0) { $0 + $1.loss }, Double(parts.reduce(0) { $0 + $1.right }),
            Double(parts.reduce(0) { $0 + $1.tokens }),
        ]
        let all =
            try !isShared
            ? [sums] : group.gathered(sums, for: "adding up an evaluation", timeout: ProcessGroup.patience)
        func sum(_ index: Int) -> Double { all.reduce(0) { $0 + $1[index] } }
        let tokens = max(1, sum(2))
        return (sum(0) / tokens, sum(1) / tokens)
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
