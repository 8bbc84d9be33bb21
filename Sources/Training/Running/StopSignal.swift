internal import Foundation
internal import Synchronization

/// Whether the user or the system asked the run to end: SIGINT or SIGTERM. The first asks politely, the second ends the
/// process at once.
public enum StopSignal {
    private static let received = Atomic<Int32>(0)

    public static var isRaised: Bool { received.load(ordering: .relaxed) != 0 }

    /// The signal's name, if one came.
    public static var name: String? { name(of: number) }

    /// The signal's number; 0 if none came.
    static var number: Int { Int(received.load(ordering: .relaxed)) }

    static func name(of number: Int) -> String? {
        switch Int32(number) {
        case SIGINT: "SIGINT"
        case SIGTERM: "SIGTERM"
        default: nil
        }
    }

    /// Starts to catch the signals, also where the process that started this one had blocked them.
    public static func catchSignals() {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM] { sigaddset(&signals, number) }
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                if StopSignal.received.exchange(number, ordering: .relaxed) != 0 { _exit(128 + number) }
            }
        }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }
}
