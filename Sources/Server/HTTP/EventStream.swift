internal import Hummingbird
internal import NIOCore
internal import Serving
internal import Text

/// Several answers as one sequence of numbered events; those that come together are one element.
struct MergedAnswers: AsyncSequence {
    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var only: AnswerStream.Iterator?
        fileprivate var several: AsyncThrowingStream<(Int, [AnswerEvent]), any Error>.Iterator?

        mutating func next() async throws -> (Int, [AnswerEvent])? {
            if several != nil { return try await several?.next() }
            if let events = try await only?.next() { return (0, events) }
            // A stream that was cancelled ends like one that is done.
            try Task.checkCancellation()
            return nil
        }
    }

    let streams: [AnswerStream]

    func makeAsyncIterator() -> AsyncIterator {
        // One answer needs nobody between it and its reader.
        streams.count == 1
            ? AsyncIterator(only: streams[0].makeAsyncIterator(), several: nil)
            : AsyncIterator(only: nil, several: merged(streams).makeAsyncIterator())
    }
}

private func merged(_ streams: [AnswerStream]) -> AsyncThrowingStream<(Int, [AnswerEvent]), any Error> {
    AsyncThrowingStream { continuation in
        let task = Task {
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (index, stream) in streams.enumerated() {
                        group.addTask {
                            for try await events in stream { continuation.yield((index, events)) }
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
    private var waiting: [UInt8] = []

    init(_ writer: any ResponseBodyWriter) { self.writer = writer }

    /// Adds an event to those that are sent next.
    mutating func add(_ json: OrderedJSON) { add { json.write(to: &$0) } }

    mutating func add(_ text: String) { add { $0 += text.utf8 } }

    private mutating func add(_ write: (inout [UInt8]) -> Void) {
        waiting += "data: ".utf8
        write(&waiting)
        waiting += "\n\n".utf8
    }

    /// Sends what was added.
    mutating func send() async throws {
        if waiting.isEmpty { return }
        let bytes = waiting
        waiting.removeAll(keepingCapacity: true)
        try await writer.write(ByteBuffer(bytes: bytes))
    }

    consuming func finish() async throws { try await writer.finish(nil) }
}
