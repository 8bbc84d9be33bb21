/// Where the data of a run stands: enough to go on with the very next batch.
public struct DataCursor: Codable, Sendable, Equatable {
    /// The first place of the mixture that has not been looked at.
    public var next: Int
    /// Places that were looked at and wait to be packed.
    public var waiting: [Int]

    public init(next: Int = 0, waiting: [Int] = []) {
        self.next = next
        self.waiting = waiting
    }
}

/// Fills batches with whole samples, greedily: first the one that waits longest, then every waiting one that still fits.
struct BatchPacker {
    /// What goes into one step.
    struct Step {
        var microBatches: [[PreparedSample]] = []
        /// Samples that turned out unusable meanwhile.
        var skipped: [SkippedSample] = []
        /// Samples that were looked at.
        var seen = 0
        /// Which rank computes which micro-batch; nil where nobody has dealt them out yet.
        var deal: BatchDeal?
    }

    /// Unusable samples one after another before a step makes do with what it has, so that data of which nothing can be
    /// used ends in an error and not in an endless search.
    private static let patience = 100

    private let batch: Recipe.Batch
    private var waiting: [PreparedSample] = []
    private var next: Int
    /// Numbers that `pop` gives before counting on from `next`.
    private var replayed: Int

    init(_ batch: Recipe.Batch, from cursor: DataCursor) {
        self.batch = batch
        next = cursor.next
        replayed = cursor.waiting.count
    }

    var cursor: DataCursor { DataCursor(next: next, waiting: waiting.map(\.number)) }

    mutating func step(_ pop: () throws -> PreparedSample) rethrows -> Step {
        var result = Step()
        for _ in 0..<batch.accumulation { result.microBatches.append(try pack(&result, pop)) }
        return result
    }

    private mutating func pack(
        _ step: inout Step, _ pop: () throws -> PreparedSample
    ) rethrows -> [PreparedSample] {
        var packed: [PreparedSample] = []
        var total = SampleSize()
        while packed.count < batch.maxSamples ?? .max {
            try refill(&step, pop)
            let fitting = waiting.firstIndex { sample in
                let sum = total + sample.amount
                return sum.tokens <= batch.tokens && sum.patches <= batch.maxPatches ?? .max
            }
            guard let fitting else { break }
            let sample = waiting.remove(at: fitting)
            total = total + sample.amount
            packed.append(sample)
        }
        return packed
    }

    private mutating func refill(_ step: inout Step, _ pop: () throws -> PreparedSample) rethrows {
        var unusable = 0
        while (waiting.count < batch.lookAhead && unusable < Self.patience) || replayed > 0 {
            let sample = try pop()
            if replayed > 0 {
                replayed -= 1
            } else {
                next += 1
                step.seen += 1
            }
            switch sample.size {
            case .failure(let skipped):
                step.skipped.append(skipped)
                unusable += 1
            case .success(let size):
                if let refusal = refusal(of: size, sample) {
                    step.skipped.append(refusal)
                    unusable += 1
                } else {
                    waiting.append(sample)
                    unusable = 0
                }
            }
        }
    }

    private func refusal(of size: SampleSize, _ sample: PreparedSample) -> SkippedSample? {
        let tokens = size.tokens, patches = size.patches
        if tokens > batch.tokens || patches > batch.maxPatches ?? .max {
            return SkippedSample(
                id: sample.id, reason: .tooLong,
                message: "\(tokens) tokens and \(patches) patches do not fit a batch of \(batch.tokens) tokens"
                    + (batch.maxPatches.map { " and \($0) patches" } ?? ""))
        }
        guard size.supervised > 0 else {
            return SkippedSample(id: sample.id, reason: .nothingToLearn, message: "it has no answer to learn")
        }
        return nil
    }
}
