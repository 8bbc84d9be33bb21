internal import Synchronization

/// How many requests may be here at a time, and how much memory they may take together.
public final class Admission: Sendable {
    private struct Waiter {
        let number: UInt64
        let bytes: Int
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var tickets = 0
        var bytes = 0
        var number: UInt64 = 0
        var waiters: [Waiter] = []
        /// Waiters that were cancelled before they waited.
        var cancelled: Set<UInt64> = []
        var isClosed = false
    }

    public let maxRequests: Int
    public let maxBytes: Int
    private let state = Mutex(State())

    public init(maxRequests: Int, maxBytes: Int) {
        self.maxRequests = maxRequests
        self.maxBytes = maxBytes
    }

    /// Requests that are here.
    public var count: Int { state.withLock { $0.tickets } }
    /// Bytes that they have reserved.
    public var bytes: Int { state.withLock { $0.bytes } }

    public var isClosed: Bool { state.withLock { $0.isClosed } }

    /// From now on, nobody is let in.
    public func close() { state.withLock { $0.isClosed = true } }

    /// A place, until the ticket is gone.
    public func enter() throws(EngineError) -> Ticket {
        try state.withLock { (state) throws(EngineError) in
            if state.isClosed { throw .shuttingDown }
            guard state.tickets < maxRequests else { throw .overloaded(retryAfterSeconds: 1) }
            state.tickets += 1
        }
        return Ticket(self)
    }

    /// A request's place and its share of the memory, given back when the last reference goes.
    public final class Ticket: Sendable {
        private let admission: Admission
        private let reserved = Mutex(0)

        init(_ admission: Admission) { self.admission = admission }

        deinit { admission.leave(bytes: reserved.withLock { $0 }) }

        /// Waits until so many bytes are free, first come, first served.
        ///
        /// - Throws: `EngineError.tooLarge` for what can never fit, `CancellationError`.
        public func reserve(bytes: Int) async throws {
            try await admission.reserve(bytes)
            reserved.withLock { $0 += bytes }
        }
    }

    private func reserve(_ bytes: Int) async throws {
        guard bytes <= maxBytes else { throw EngineError.tooLarge(bytes: bytes, limit: maxBytes) }
        let number: UInt64? = state.withLock { state in
            if state.waiters.isEmpty, state.bytes + bytes <= maxBytes {
                state.bytes += bytes
                return nil
            }
            state.number += 1
            return state.number
        }
        guard let number else { return }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if state.cancelled.remove(number) != nil { return true }
                    state.waiters.append(Waiter(number: number, bytes: bytes, continuation: continuation))
                    return false
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) } else { wake() }
            }
        } onCancel: {
            let waiter: Waiter? = state.withLock { state in
                guard let index = state.waiters.firstIndex(where: { $0.number == number }) else {
                    state.cancelled.insert(number)
                    return nil
                }
                return state.waiters.remove(at: index)
            }
            waiter?.continuation.resume(throwing: CancellationError())
        }
        _ = state.withLock { $0.cancelled.remove(number) }
    }

    private func leave(bytes: Int) {
        state.withLock {
            $0.tickets -= 1
            $0.bytes -= bytes
        }
        wake()
    }

    /// Lets those in front go on, as far as there is room.
    private func wake() {
        let ready: [Waiter] = state.withLock { state in
            var ready: [Waiter] = []
            while let first = state.waiters.first, state.bytes + first.bytes <= maxBytes {
                state.bytes += first.bytes
                ready.append(state.waiters.removeFirst())
            }
            return ready
        }
        for waiter in ready { waiter.continuation.resume() }
    }
}
