internal import Foundation
public import Inference
public import Models
internal import NN
internal import Synchronization
internal import Torch

/// How an engine decodes.
public struct BatchOptions: Sendable, Hashable {
    /// Answers that are decoded together. Up to 16, linear layers give each row the same bits whatever its company.
    public var maxBatch: Int
    /// Tokens of a prompt that are read at a time; between two of them, running answers get a token.
    public var prefillChunk: Int

    public init(maxBatch: Int = 8, prefillChunk: Int = 256) {
        self.maxBatch = min(max(1, maxBatch), 16)
        self.prefillChunk = max(16, prefillChunk)
    }
}

/// An engine on its own thread that decodes several answers together.
public final class BatchEngine: ServingEngine {
    public let processor: any ConversationProcessor
    public let facts: EngineFacts
    public let generation: GenerationDefaults
    private let mailbox: Mailbox
    private let shared: SharedStatistics

    private init(_ chat: ChatEngine, mailbox: Mailbox, shared: SharedStatistics) {
        processor = chat.processor
        generation = chat.folder.generation
        let model = chat.generator.model, decoder = model.decoder.configuration
        facts = EngineFacts(
            contextLength: decoder.contextLength, vocabularySize: decoder.vocabularySize,
            parameters: model.store.parameters.reduce(0) { $0 + $1.count }, device: "\(chat.device)",
            cacheBytesPerToken: decoder.layers * 2 * decoder.keyValueHeads * decoder.headSize
                * model.decoder.embedding.weight.tensor.dtype.size)
        self.mailbox = mailbox
        self.shared = shared
    }

    /// Starts a thread, loads a model on it, and answers from then on.
    ///
    /// - Parameters:
    ///   - observer: looks at intermediate results, and may throw as if an operation had failed; for tests.
    ///   - load: runs on the new thread.
    public static func start(
        _ options: BatchOptions = BatchOptions(), observer: (@Sendable (String) throws -> Void)? = nil,
        _ load: @escaping @Sendable () throws -> ChatEngine
    ) async throws -> BatchEngine {
        try await withCheckedThrowingContinuation { continuation in
            let thread = Thread {
                let mailbox = Mailbox(), shared = SharedStatistics()
                let scheduler: BatchScheduler
                do {
                    let chat = try load()
                    scheduler = BatchScheduler(
                        model: chat.generator.model, tokenizer: chat.processor.tokenizer, options: options,
                        shared: shared, observer: observer)
                    continuation.resume(returning: BatchEngine(chat, mailbox: mailbox, shared: shared))
                } catch {
                    continuation.resume(throwing: error)
                    return
                }
                scheduler.run(mailbox)
            }
            thread.name = "omma engine"
            thread.stackSize = 16 << 20
            thread.start()
        }
    }

    deinit { mailbox.close() }

    public var statistics: EngineStatistics { shared.value.withLock { $0 } }

    public func submit(_ request: EngineRequest) -> AnswerStream {
        // A request has a limit of tokens, and so the buffer has one.
        let (stream, sink) = AnswerStream.makeStream(bufferingPolicy: .unbounded)
        shared.value.withLock { $0.waiting += 1 }
        mailbox.submit(request, sink)
        return stream
    }

    public func shutdown() { mailbox.close() }
}

/// Counters that the engine's thread writes and anyone reads.
final class SharedStatistics: Sendable {
    let value = Mutex(EngineStatistics())
}
