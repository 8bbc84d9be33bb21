/// Everything beside tensors that a run needs to go on as if it had never stopped.
public struct TrainingState: Codable, Sendable, Equatable {
    /// Changes whenever older readers would misunderstand the file.
    public var version = 1
    /// Steps done in all stages, skipped ones included.
    public var step = 0
    /// The current stage, and the steps done in it.
    public var stage = 0
    public var stageStep = 0
    public var cursor = DataCursor()
    /// Where the frozen weights of a stage with adapters are; nil in other stages.
    public var base: String?
    public var counters = Counters()
    /// Steps skipped in a row, for their limit.
    public var skippedInARow = 0
    /// Of the current stage, where it looks for spikes; nil before the first step and in files of older versions.
    public var losses: LossHistory?
    /// The recipe with all replacements, as it was when the state was written.
    public var recipe = ""

    /// Sums over the whole run.
    public struct Counters: Codable, Sendable, Equatable {
        public var samples = 0
        public var tokens = 0
        public var supervisedTokens = 0
        public var patches = 0
        public var pictures = 0
        public var skippedSteps = 0
        public var seenSamples = 0
        /// Samples left out, by reason.
        public var skippedSamples: [String: Int] = [:]
        /// Seconds of training, without pauses between runs.
        public var seconds = 0.0

        public init() {}
    }

    public init() {}
}
