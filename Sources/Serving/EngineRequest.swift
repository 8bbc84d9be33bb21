public import Inference
public import Models

/// One answer that an engine is asked for.
public struct EngineRequest: Sendable {
    /// The prompt, processed: token ids with the pictures' patches.
    public var prompt: ProcessedSequence
    public var maxTokens: Int
    public var sampling: SamplingOptions
    /// Ids at which the answer ends; they are not part of it.
    public var stopTokens: Set<Int32>
    /// Texts at which the answer ends; they are not part of it.
    public var stopTexts: [String]
    /// Added to the scores of these ids before anything is chosen.
    public var logitBias: [Int32: Float]
    /// Taken from the scores of tokens that the answer holds already.
    public var presencePenalty: Float = 0
    /// Taken from a token's score for each time that the answer holds it.
    public var frequencyPenalty: Float = 0
    /// How many likely alternatives come with each token; nil for no log-probabilities at all.
    public var alternatives: Int?
    /// What the answer must look like; nil for free text.
    public var constraint: (any TokenConstraint)?
    /// Requests with the same number have the same prompt, which is read once for those that are answered together.
    public var promptGroup: UInt64?
    /// When the answer is given up.
    public var deadline: ContinuousClock.Instant?

    public init(
        prompt: ProcessedSequence, maxTokens: Int, sampling: SamplingOptions = .greedy, stopTokens: Set<Int32> = [],
        stopTexts: [String] = [], logitBias: [Int32: Float] = [:], alternatives: Int? = nil,
        constraint: (any TokenConstraint)? = nil, deadline: ContinuousClock.Instant? = nil
    ) {
        self.prompt = prompt
        self.maxTokens = maxTokens
        self.sampling = sampling
        self.stopTokens = stopTokens
        self.stopTexts = stopTexts
        self.logitBias = logitBias
        self.alternatives = alternatives
        self.constraint = constraint
        self.deadline = deadline
    }
}

/// A rule about which tokens may come next.
public protocol TokenConstraint: Sendable {
    /// Rules tokens out by setting their scores to -inf. Where the answer may end here, the stop tokens stay.
    func apply(to scores: inout [Float], stopTokens: Set<Int32>)
    /// Goes on behind a token that was chosen.
    mutating func advance(_ token: Int32)
    /// Whether nothing can follow any more.
    var isFinished: Bool { get }
}

/// A token and how likely it was.
public struct TokenScore: Sendable, Hashable {
    public var id: Int32
    /// Natural logarithm, under the model's own scores: before bias, temperature and constraints.
    public var logProbability: Float

    public init(id: Int32, logProbability: Float) {
        self.id = id
        self.logProbability = logProbability
    }
}

/// A piece of an answer.
public enum AnswerEvent: Sendable {
    /// A token was chosen. The text that became certain with it is often empty.
    case token(AnswerToken)
    /// The last event.
    case end(AnswerSummary)
}

public struct AnswerToken: Sendable, Hashable {
    public var id: Int32
    public var text: String
    /// Nil unless asked for.
    public var score: TokenScore?
    public var alternatives: [TokenScore]
}

/// How an answer ended and what it took.
public struct AnswerSummary: Sendable, Hashable {
    public var finishReason: FinishReason
    /// Text that was held back until now.
    public var restText: String
    /// The whole text.
    public var text: String
    /// The whole text with the marks around places in a picture.
    public var markedText: String
    public var promptTokens: Int
    public var imageTokens: Int
    public var completionTokens: Int
    /// From the submission to the first token, with the time in the queue.
    public var secondsToFirstToken: Double
    /// In the queue.
    public var secondsWaiting: Double
    /// From the first token to the end.
    public var decodeSeconds: Double
}
