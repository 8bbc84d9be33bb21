/// A run that cannot go on.
public enum TrainingError: Error, Sendable, CustomStringConvertible {
    /// What a recipe asks for and the trainer does not do, each with its key.
    case unsupported([String])
    case nothingMatches(stage: String, pattern: String)
    case steps(skipped: Int, step: Int, samples: [String])
    case samples(skipped: Int, seen: Int, last: SkippedSample)
    /// Micro-batches that cannot be dealt out evenly.
    case ranks(stage: String, microBatches: Int, ranks: Int)
    case cannotLook(stage: String)
    /// Ranks that do not understand each other.
    case exchange(String)
    /// A model whose parts cannot be divided by the ranks that a recipe wants to divide them.
    case indivisible([String])
    /// What the look at the first batch found.
    case check(stage: String, problems: [String])

    public var description: String {
        switch self {
        case .unsupported(let problems):
            "this recipe cannot be trained as it is:\n  " + problems.joined(separator: "\n  ")
        case .nothingMatches(let stage, let pattern):
            "stage '\(stage)': '\(pattern)' fits no parameter of the model; use tower, merger, embedding, decoder, head, "
                + "all, or a pattern of parameter names"
        case .steps(let skipped, let step, let samples):
            "loss or gradient were not finite in \(skipped) steps in a row, up to step \(step); the last batch held "
                + samples.joined(separator: ", ") + "; lower the learning rate, or look at these samples"
        case .samples(let skipped, let seen, let last):
            "\(skipped) of \(seen) samples could not be used, more than max_skipped_samples allows; the last one was "
                + "\(last.id) (\(last.reason.rawValue)): \(last.message)"
        case .ranks(let stage, let microBatches, let ranks):
            "stage '\(stage)': batch.accumulation is \(microBatches), and \(ranks) ranks share the micro-batches of a "
                + "step; make it a multiple of \(ranks)"
        case .cannotLook(let stage):
            "stage '\(stage)': attention that is told where to look (regions.look) cannot be computed again in the "
                + "backward pass; leave decoder out of memory.recompute, or set regions.look to 0"
        case .exchange(let problem): "samples could not be exchanged between ranks: \(problem)"
        case .indivisible(let problems):
            "this model cannot be divided as parallel says:\n  " + problems.joined(separator: "\n  ")
        case .check(let stage, let problems):
            "stage '\(stage)' would go wrong: \(problems.joined(separator: "; "))"
        }
    }
}
