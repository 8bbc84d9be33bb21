/// One line of `log.jsonl`; which fields are there depends on the event.
public struct LogLine: Codable, Sendable {
    /// `start`, `resume`, `stage`, `step`, `evaluation`, `answer`, `checkpoint`, `skipped`, `skippedStep`,
    /// `note`.
    public var event: String
    public var step: Int?
    public var stage: String?
    public var run: RunFacts?

    /// Means over the steps since the line before.
    public var loss: Double?
    public var gradientNorm: Double?
    /// By part, of the last step.
    public var gradientNorms: [String: Double]?
    public var learningRate: Double?
    /// Of the last step.
    public var regionLosses: [String: Double]?

    public var accuracy: Double?
    /// What accuracy is the share of.
    public var measure: String?
    public var blindLoss: Double?
    public var blindAccuracy: Double?
    public var chanceLoss: Double?
    public var chanceAccuracy: Double?

    /// Sums over the steps since the line before.
    public var tokens: Int?
    public var supervisedTokens: Int?
    public var pictures: Int?
    public var sources: [String: SourceShare]?
    public var tokensPerSecond: Double?
    public var picturesPerSecond: Double?
    /// Model FLOP utilisation: operations that the mathematics needs, as a share of those that the machine's matrix
    /// products would have done in the same time.
    public var utilisation: Double?
    /// The share of rows' tokens that hold something.
    public var filled: Double?
    public var residentBytes: Int?
    /// What tensors hold at most on the GPU of rank 0.
    public var deviceBytes: Int?
    public var waitedSeconds: Double?
    /// Of several ranks, in the last step: how much more the one with most to do has than the mean.
    public var imbalance: Double?
    /// Of the whole run.
    public var trainedSeconds: Double?
    public var skippedSteps: Int?
    public var skippedSamples: Int?

    public var sample: String?
    public var question: String?
    public var truth: String?
    public var answer: String?
    /// Pictures of the question, as names in the run's folder.
    public var files: [String]?
    public var reason: String?
    public var text: String?
}
