internal import Models

/// A sample on its way into a batch.
struct PreparedSample: Sendable {
    /// Its place in the mixture.
    var number: Int
    var id: String
    /// What the source of data is called.
    var source: String
    /// How large it is, or why it cannot be used.
    var size: Result<SampleSize, SkippedSample>
    /// What it became; nil where it cannot be used, or where another rank prepared it and this one does without.
    var sequence: ProcessedSequence?
    /// What the features of its pictures should tell; nil where nothing is known or asked.
    var regions: RegionTargets?

    init(
        number: Int, id: String, source: String, result: Result<ProcessedSequence, SkippedSample>,
        regions: RegionTargets? = nil
    ) {
        self.number = number
        self.id = id
        self.source = source
        self.regions = regions
        size = result.map { SampleSize($0, regions) }
        sequence = try? result.get()
    }

    /// A sample that another rank prepared.
    init(number: Int, id: String, source: String, size: Result<SampleSize, SkippedSample>) {
        self.number = number
        self.id = id
        self.source = source
        self.size = size
    }

    /// Nothing where it cannot be used.
    var amount: SampleSize { (try? size.get()) ?? SampleSize() }
}

/// How large samples are: all that batches are packed and dealt out by.
struct SampleSize: Codable, Sendable, Equatable {
    var samples = 0
    var tokens = 0
    /// Tokens whose prediction counts.
    var supervised = 0
    var patches = 0
    var pictures = 0
    /// Tokens that are places of pictures.
    var places = 0
    var columns = 0
    /// Features that belong to something, and tokens that are told where to look; see `RegionTargets`.
    var foreground = 0
    var looks = 0

    init() {}

    init(_ sequence: ProcessedSequence, _ regions: RegionTargets? = nil) {
        samples = 1
        tokens = sequence.rows.count
        supervised = sequence.learnedCount
        patches = sequence.patchCount
        pictures = sequence.items.count
        places = sequence.imageTokenCount
        columns = sequence.columnCount
        foreground = regions?.foreground.count ?? 0
        looks = regions?.looks.count ?? 0
    }

    static func + (a: SampleSize, b: SampleSize) -> SampleSize {
        var sum = a
        for field in [
            \SampleSize.samples, \.tokens, \.supervised, \.patches, \.pictures, \.places, \.columns, \.foreground,
            \.looks,
        ] { sum[keyPath: field] += b[keyPath: field] }
        return sum
    }
}

extension Sequence<PreparedSample> {
    var amount: SampleSize { reduce(SampleSize()) { $0 + $1.amount } }
}

/// A sample that could not be used.
public struct SkippedSample: Error, Sendable, Hashable, Codable {
    public enum Reason: String, Sendable, CaseIterable, Codable {
        /// Reading or decoding failed.
        case unreadable
        /// The processor refused it.
        case unprocessable
        /// More tokens or patches than a batch may hold.
        case tooLong
        /// It was not there in time.
        case timedOut
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
