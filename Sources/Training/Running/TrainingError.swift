/// A run that cannot go on.
public enum TrainingError: Error, Sendable, CustomStringConvertible {
    case nothingMatches(stage: String, pattern: String)
    case steps(skipped: Int, step: Int, samples: [String])
    case samples(skipped: Int, seen: Int, last: SkippedSample)
    case cannotRecompute(stage: String)
    case noGradient(stage: String, parameters: [String])

    public var description: String {
        switch self {
        case .nothingMatches(let stage, let pattern):
            "stage '\(stage)': '\(pattern)' fits no parameter of the model; use tower, merger, embedding, decoder, head, "
                + "all, or a pattern of parameter names"
        case .steps(let skipped, let step, let samples):
            "loss or gradient were not finite in \(skipped) steps in a row, up to step \(step); the last batch held "
                + samples.joined(separator: ", ") + "; lower the learning rate, or look at these samples"
        case .samples(let skipped, let seen, let last):
            "\(skipped) of \(seen) samples could not be used, more than max_skipped_samples allows; the last one was "
                + "\(last.id) (\(last.reason.rawValue)): \(last.message)"
        case .cannotRecompute(let stage):
            "stage '\(stage)': the decoder's layers cannot be computed again, because it has experts or gated "
                + "cross-attention; leave decoder out of memory.recompute"
        case .noGradient(let stage, let parameters):
            "stage '\(stage)' trains parameters that its data does not reach: \(parameters.prefix(5).joined(separator: ", "))"
                + (parameters.count > 5 ? " and \(parameters.count - 5) more" : "")
                + "; freeze them (train: [all, \"!PATTERN\"]), or give data that uses them"
        }
    }
}
