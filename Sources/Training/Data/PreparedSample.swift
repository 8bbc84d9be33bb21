internal import Models

/// A sample on its way into a batch.
struct PreparedSample: Sendable {
    /// Its place in the mixture.
    var number: Int
    var id: String
    /// What it became, or why it cannot be used.
    var result: Result<ProcessedSequence, SkippedSample>
    /// What the features of its pictures should tell; nil where nothing is known or asked.
    var regions: RegionTargets?

    var sequence: ProcessedSequence? { try? result.get() }
}

/// A sample that could not be used.
public struct SkippedSample: Error, Sendable, Hashable {
    public enum Reason: String, Sendable, CaseIterable, Codable {
        /// Reading or decoding failed.
        case unreadable
        /// The processor refused it.
        case unprocessable
        /// More tokens or patches than a batch may hold.
        case tooLong
        /// No token of it would be learned from.
        case nothingToLearn
    }

    public var id: String
    public var reason: Reason
    public var message: String
}

extension ProcessedSequence {
    /// Tokens whose prediction counts: the first of a sequence is predicted by nothing.
    var learnedCount: Int { rows.dropFirst().reduce(0) { $0 + ($1.isSupervised ? 1 : 0) } }
}
