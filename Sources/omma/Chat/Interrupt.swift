import Foundation
import Synchronization

/// Ctrl-C: the first one ends an answer, the next one, or one while nothing is being answered, ends the program.
enum Interrupt {
    private static let state = Atomic<Int>(idle)
    private static let idle = 0
    private static let answering = 1
    private static let asked = 2

    /// Runs `body`, during which `isRequested` may become true.
    static func whileAnswering<Result>(_ body: () throws -> Result) rethrows -> Result {
        state.store(answering, ordering: .relaxed)
        signal(SIGINT) { _ in
            let (first, _) = Interrupt.state.compareExchange(
                expected: Interrupt.answering, desired: Interrupt.asked, ordering: .relaxed)
            if !first {
                signal(SIGINT, SIG_DFL)
                raise(SIGINT)
            }
        }
        unblock()
        defer {
            signal(SIGINT, SIG_DFL)
            state.store(idle, ordering: .relaxed)
        }
        return try body()
    }

    /// Parents that start programs from threads with blocked signals leave them blocked.
    private static func unblock() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    /// Whether the answer is to end.
    static var isRequested: Bool { state.load(ordering: .relaxed) == asked }
}
