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
    /// The checkpoint whose held-out loss is the lowest; nil where none was measured as it was written.
    public var best: Best?
    /// What the run reads beside its recipe, see `RunInputs`; nil in files of older versions.
    public var inputs: [String: String]?
    /// The recipe with all replacements, as it was when the state was written.
    public var recipe = ""

    public struct Best: Codable, Sendable, Equatable {
        public var step: Int
        public var loss: Double
    }

    /// Remembers the checkpoint of this step, if none has a lower loss.
    mutating func noteBest(_ record: EvaluationRecord) {
        guard record.step == step, record.loss.isFinite, record.loss < best?.loss ?? .infinity else { return }
        best = Best(step: step, loss: record.loss)
    }

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
        /// Rows that did not fit into memory and were computed in parts; nil for none.
        public var halvedRows: Int?

        public init() {}
    }

    public init() {}
}
