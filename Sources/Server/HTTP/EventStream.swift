internal import Hummingbird
internal import NIOCore
internal import Serving
internal import Text

/// Several answers as one stream of numbered events.
func merged(_ streams: [AnswerStream]) -> AsyncThrowingStream<(Int, AnswerEvent), any Error> {
    AsyncThrowingStream { continuation in
        let task = Task {
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (index, stream) in streams.enumerated() {
                        group.addTask {
                            for try await event in stream { continuation.yield((index, event)) }
                            try Task.checkCancellation()
                        }
                    }
                    try await group.waitForAll()
                }
                continuation.finish()
            } catch { continuation.finish(throwing: error) }
        }
        continuation.onTermination = { _ in task.cancel() }
    }
}

extension Request {
    /// Does work whose body has been read already, and cancels it once the client has gone.
    ///
    /// Hummingbird's own handler crashes the process if the connection closes before it saw a body's end; behind an
    /// empty body that was read, that cannot happen.
    func whileConnected<Value: Sendable>(_ work: () async throws -> Value) async throws -> Value {
        var request = self
        request.body = RequestBody(buffer: ByteBuffer())
        return try await request.body.consumeWithCancellationOnInboundClose { body in
            for try await _ in body {}
            return try await work()
        }
    }
}

/// Writes server-sent events. Each write waits until the connection takes it, so that a slow reader slows the writing,
/// not the model: what waits is bounded by the answer's limit of tokens.
struct EventWriter {
    private var writer: any ResponseBodyWriter

    init(_ writer: any ResponseBodyWriter) { self.writer = writer }

    mutating func send(_ json: OrderedJSON) async throws { try await send(json.text) }

    mutating func send(_ text: String) async throws {
        try await writer.write(ByteBuffer(string: "data: \(text)\n\n"))
    }

    consuming func finish() async throws { try await writer.finish(nil) }
}
