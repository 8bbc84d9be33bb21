internal import Models
internal import Torch

/// Loss and accuracy on a fixed set of samples, with the right answers given as context.
struct HeldOutLoss {
    private let batches: [[ProcessedSequence]]

    /// Prepares the samples once. A held-out sample that cannot be used is an error: the set would not be the same.
    init(_ heldOut: Recipe.HeldOut, recipe: Recipe, processor: any ConversationProcessor) throws {
        let mixture = SampleMixture(try heldOut.data.opened(for: processor), seed: recipe.seed)
        var batches: [[ProcessedSequence]] = []
        var tokens = 0
        for number in 0..<heldOut.samples {
            let sample = PreparedSample(number, mixture.place(number), processor)
            let sequence = try sample.result.get()
            if batches.isEmpty || tokens + sequence.rows.count > 4096 {
                batches.append([])
                tokens = 0
            }
            tokens += sequence.rows.count
            batches[batches.count - 1].append(sequence)
        }
        self.batches = batches
    }

    func callAsFunction(_ model: VisionLanguageModel, threads: WorkerThreads, step: Int) throws -> EvaluationRecord {
        let parts = try threads.map(batches.count) { index in
            try withoutGradient { try model.supervisedScores(batches[index]) }
        }
        let tokens = parts.reduce(0) { $0 + $1.tokens }
        return EvaluationRecord(
            step: step, loss: parts.reduce(0) { $0 + $1.loss } / Double(max(1, tokens)),
            accuracy: Double(parts.reduce(0) { $0 + $1.right }) / Double(max(1, tokens)),
            samples: batches.reduce(0) { $0 + $1.count })
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
