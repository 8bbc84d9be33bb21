import Inference
import ModelTestSupport
import Models
import Serving
import Synchronization
import Torch

/// An answer as its events told it.
struct Heard: Equatable {
    var ids: [Int32] = []
    var text = ""
    var summary: AnswerSummary?

    init(_ stream: AnswerStream) async throws {
        for try await events in stream {
            for event in events {
                switch event {
                case .token(let token):
                    ids.append(token.id)
                    text += token.text
                case .end(let summary):
                    text += summary.restText
                    self.summary = summary
                }
            }
        }
    }

    static func == (a: Heard, b: Heard) -> Bool {
        a.ids == b.ids && a.text == b.text && a.summary?.finishReason == b.summary?.finishReason
    }
}

extension ServingEngine {
    /// The whole answer.
    func answer(_ request: EngineRequest) async throws -> Heard { try await Heard(submit(request)) }
}

extension BatchEngine {
    static func tiny(
        _ options: BatchOptions = BatchOptions(maxBatch: 4, prefillChunk: 16),
        observer: (@Sendable (String) throws -> Void)? = nil
    ) async throws -> BatchEngine {
        try await start(options, observer: observer) {
            // The tensors are so small that threads cost more than they bring.
            Engine.threads = 1
            return try ChatEngine(ModelFolder(TinyQwen2VL.url), dtype: .float32)
        }
    }
}

/// A number that threads share.
final class Counter: Sendable {
    let value = Mutex(0)

    /// The number before it was raised by one.
    func next() -> Int {
        value.withLock { value in
            defer { value += 1 }
            return value
        }
    }
}
