public import Models

/// What a server talks to: takes requests, gives streams of events, can be told to stop at any time.
public protocol ServingEngine: Sendable {
    /// Renders and tokenises conversations, and tells what pictures take.
    var processor: any ConversationProcessor { get }
    var facts: EngineFacts { get }
    var statistics: EngineStatistics { get }

    /// Begins an answer. Events come in order; the stream ends with `.end`, or throws an `EngineError`. Dropping the
    /// stream, or cancelling the task that reads it, cancels the answer at the next step.
    func submit(_ request: EngineRequest) -> AnswerStream

    /// Ends all answers with `EngineError.shuttingDown` and refuses new ones.
    func shutdown()
}

/// Events that come together are one element, which is never empty.
public typealias AnswerStream = AsyncThrowingStream<[AnswerEvent], any Error>

/// What does not change while an engine runs.
public struct EngineFacts: Sendable, Hashable {
    /// Tokens that a sequence may hold at most.
    public var contextLength: Int
    /// Scores that the model gives; ids are below it.
    public var vocabularySize: Int
    public var parameters: Int
    public var device: String
    /// Memory that a token of a sequence takes while it is answered.
    public var cacheBytesPerToken: Int
}

/// What an engine does and has done.
public struct EngineStatistics: Sendable, Hashable {
    public var waiting = 0
    public var running = 0
    public var promptTokens = 0
    public var completionTokens = 0
    public var finished = 0
    public var cancelled = 0
    public var failed = 0
    /// Passes through the model that brought one token to each running answer.
    public var decodeSteps = 0
    /// Seconds spent in the model.
    public var modelSeconds = 0.0
    /// Seconds in which the engine had something to do.
    public var busySeconds = 0.0
    /// Bytes of keys and values held.
    public var cacheBytes = 0

    public init() {}
}
