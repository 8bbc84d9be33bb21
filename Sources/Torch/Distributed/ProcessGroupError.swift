/// Something that went wrong among several processes.
public enum ProcessGroupError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Variables of the environment that make no sense.
    case environment(String)
    /// This process could not reach the place where all meet.
    case unreachable(rank: Int, address: String, message: String)
    /// Some processes did not come in time.
    case missing(rank: Int, ranks: [Int], size: Int, address: String, seconds: Int)
    /// Two processes have the same rank.
    case duplicate(rank: Int)
    /// Processes that do not belong together.
    case mismatch(rank: Int, other: Int, what: String, here: String, there: String)
    /// Other processes are gone, or said why they stopped.
    case peers(rank: Int, operation: String, failures: [Int: String])
    /// An operation failed, and all others seem to be alive.
    case failed(rank: Int, operation: String, message: String)

    public var description: String {
        switch self {
        case .environment(let problem):
            "this process was started as one of several, but \(problem); start them with omma launch or torchrun"
        case .unreachable(let rank, let address, let message):
            "rank \(rank) cannot meet the others at \(address): \(message)"
        case .missing(let rank, let ranks, let size, let address, let seconds):
            "rank \(rank) waited \(seconds) s at \(address), but of \(size) ranks these did not come: "
                + Self.list(ranks)
        case .duplicate(let rank):
            "two processes say that they are rank \(rank); each needs a RANK of its own"
        case .mismatch(let rank, let other, let what, let here, let there):
            "ranks do not fit together: \(what) is \(here) on rank \(rank) and \(there) on rank \(other)"
        case .peers(let rank, let operation, let failures):
            "rank \(rank) stopped in \(operation): "
                + failures.sorted { $0.key < $1.key }.map { "rank \($0.key) \($0.value)" }.joined(separator: "; ")
        case .failed(let rank, let operation, let message): "rank \(rank) failed in \(operation): \(message)"
        }
    }

    static func list(_ ranks: [Int]) -> String {
        let first = ranks.prefix(16).map(String.init).joined(separator: ", ")
        return ranks.count > 16 ? "\(first) and \(ranks.count - 16) more" : first
    }
}
