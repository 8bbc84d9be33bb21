internal import Foundation
internal import Torch

/// A thread that talks to the other ranks, or brings weights to the device, while the caller computes. What it is given is done one after another, in the
/// order in which it was given, which must be the same on all ranks.
final class Courier: @unchecked Sendable {
    /// Something that is on its way.
    final class Errand: @unchecked Sendable {
        fileprivate let done = DispatchSemaphore(value: 0)
        fileprivate var result: Result<[Tensor], any Error>?

        /// Waits for the end of it, and gives what it brought. May be asked once.
        func wait() throws -> [Tensor] {
            done.wait()
            return try result?.get() ?? []
        }
    }

    private let condition = NSCondition()
    private var jobs: [(errand: Errand, body: () throws -> [Tensor])] = []
    private var isStopped = false
    private var failure: (any Error)?

    /// - Parameter isAlone: whether there are no other ranks, so that what fails is nobody else's matter.
    init(isAlone: Bool = false) {
        let thread = Thread { [condition] in
            Engine.workAlone()
            while true {
                condition.lock()
                while self.jobs.isEmpty && !self.isStopped { condition.wait() }
                guard !self.jobs.isEmpty else { return condition.unlock() }
                let job = self.jobs.removeFirst(), failure = self.failure
                condition.unlock()
                // After one that failed the ranks are out of step: none of the rest can be done.
                let result = failure.map { .failure($0) } ?? Result { try withoutGradient(job.body) }
                if !isAlone, case .failure(let error) = result { condition.withLock { self.failure = error } }
                job.errand.result = result
                job.errand.done.signal()
            }
        }
        thread.name = "omma courier"
        thread.start()
    }

    /// Begins something; `body` runs on the courier's thread.
    @discardableResult
    func send(_ body: @escaping () throws -> [Tensor]) -> Errand {
        let errand = Errand()
        condition.lock()
        jobs.append((errand, body))
        condition.broadcast()
        condition.unlock()
        return errand
    }

    /// Ends the thread once it has nothing left to do.
    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        condition.unlock()
    }
}
