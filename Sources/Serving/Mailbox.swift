internal import Foundation

/// A request on its way to the engine's thread.
struct Submission: Sendable {
    let number: UInt64
    let request: EngineRequest
    let submitted: ContinuousClock.Instant
    let sink: AnswerStream.Continuation
}

/// What other threads have to say to the engine's thread.
final class Mailbox: @unchecked Sendable {
    struct Contents {
        var submissions: [Submission] = []
        var cancelled: Set<UInt64> = []
        var isClosed = false
    }

    // Everything below is touched under the condition's lock only.
    private let condition = NSCondition()
    private var contents = Contents()
    private var count: UInt64 = 0

    func submit(_ request: EngineRequest, _ sink: AnswerStream.Continuation) {
        let number = condition.withLock {
            count += 1
            return count
        }
        sink.onTermination = { [weak self] reason in
            if case .cancelled = reason { self?.cancel(number) }
        }
        let isOpen = condition.withLock {
            if contents.isClosed { return false }
            contents.submissions.append(
                Submission(number: number, request: request, submitted: .now, sink: sink))
            condition.signal()
            return true
        }
        if !isOpen { sink.finish(throwing: EngineError.shuttingDown) }
    }

    private func cancel(_ number: UInt64) {
        condition.withLock {
            contents.cancelled.insert(number)
            condition.signal()
        }
    }

    func close() {
        condition.withLock {
            contents.isClosed = true
            condition.signal()
        }
    }

    /// Everything since the last call; waits for something if there is nothing else to do.
    func take(waiting: Bool) -> Contents {
        condition.withLock {
            while waiting, contents.submissions.isEmpty, contents.cancelled.isEmpty, !contents.isClosed {
                condition.wait()
            }
            defer {
                contents.submissions = []
                contents.cancelled = []
            }
            return contents
        }
    }
}
