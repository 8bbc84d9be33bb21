internal import Foundation

/// Takes tokens from the engine's thread to those who wait for them.
///
/// Making text of tokens and waking who waits cost more than choosing the tokens. Both are done on a thread of the
/// courier's own, while the engine is at the next pass. The first piece of an answer and the last one go at once; those
/// between wait up to `pause`, so that a quick model does not wake everyone for every token.
final class AnswerCourier: @unchecked Sendable {
    enum Content {
        /// A token, and the scores that it was chosen from where someone wants to know.
        case token(Int32, logits: [Float]?)
        case end(AnswerEnd)
        case failure(any Error)
    }

    static let pause = 0.004

    // Everything below is touched under the condition's lock only.
    private let condition = NSCondition()
    private var parcels: [(writer: AnswerWriter, content: Content)] = []
    private var isUrgent = false
    /// Whether the thread waits until it is called.
    private var isIdle = false
    private var isClosed = false

    init() {
        let thread = Thread { [self] in run() }
        thread.name = "omma courier"
        thread.start()
    }

    /// - Parameter urgently: whether it must not wait for others.
    func send(_ content: Content, from writer: AnswerWriter, urgently: Bool) {
        condition.withLock {
            parcels.append((writer, content))
            isUrgent = isUrgent || urgently
            if isIdle || urgently { condition.signal() }
        }
    }

    /// Ends the thread once all is delivered.
    func close() {
        condition.withLock {
            isClosed = true
            condition.signal()
        }
    }

    private func run() {
        while let parcels = take() {
            // What came for an answer goes together; answers are told in the order in which they come.
            var writers: [AnswerWriter] = []
            for (writer, content) in parcels {
                if writer.take(content) { writers.append(writer) }
            }
            for writer in writers { writer.deliver() }
        }
    }

    /// What waits; nil at the end.
    private func take() -> [(writer: AnswerWriter, content: Content)]? {
        condition.withLock {
            // More is likely to come: nobody need call.
            let end = Date(timeIntervalSinceNow: Self.pause)
            while !isUrgent, !isClosed, condition.wait(until: end) {}
            while parcels.isEmpty, !isClosed {
                isIdle = true
                condition.wait()
                isIdle = false
            }
            if parcels.isEmpty { return nil }
            defer {
                parcels = []
                isUrgent = false
            }
            return parcels
        }
    }
}
