internal import Foundation

/// Samples prepared ahead by threads of their own and handed over in order, however many threads there are.
final class SampleQueue: @unchecked Sendable {
    /// What happens to a sample that takes too long, as on a disk that hangs: it is left out, and another thread takes
    /// the place of the one that waits for it.
    struct Watch: Sendable {
        var patience: Duration
        /// What stands for the sample then.
        var late: @Sendable (Int) -> PreparedSample
    }

    private let condition = NSCondition()
    private let prepare: @Sendable (Int) -> PreparedSample
    private let watch: Watch?
    private let capacity: Int
    /// Numbers to hand over before counting on from `next`.
    private let first: [Int]
    private let next: Int
    /// Of the sequence of numbers, the place that is taken next, and how far it is to the one after it.
    private var place: Int
    private let stride: Int
    /// The order in which numbers were given to threads, and what is ready.
    private var order: [Int] = []
    private var ready: [Int: PreparedSample] = [:]
    /// Since when.
    private var inWork: [Int: ContinuousClock.Instant] = [:]
    private var isStopped = false

    /// - Parameters:
    ///   - first: numbers that come before `next`, as after a resume.
    ///   - capacity: samples ready or in work at most.
    ///   - share: which of so many ranks this is, each of which prepares every so-manieth sample.
    ///   - watch: nil waits for every sample as long as it takes.
    init(
        first: [Int], next: Int, workers: Int, capacity: Int, share: (rank: Int, of: Int) = (0, 1), watch: Watch? = nil,
        prepare: @escaping @Sendable (Int) -> PreparedSample
    ) {
        self.first = first
        self.next = next
        (place, stride) = share
        self.capacity = max(capacity, workers)
        self.watch = watch
        self.prepare = prepare
        for _ in 0..<workers { startThread() }
    }

    private func startThread() {
        // Threads, not tasks: preparing blocks, and must not take the pool that others wait on.
        let thread = Thread { [self] in work() }
        thread.name = "omma samples"
        thread.qualityOfService = .utility
        thread.start()
    }

    private func work() {
        while let number = take() {
            let sample = prepare(number)
            let isAwaited = condition.withLock {
                // Given up meanwhile: another thread is at work in this one's place.
                guard inWork.removeValue(forKey: number) != nil else { return false }
                ready[number] = sample
                condition.broadcast()
                return true
            }
            if !isAwaited { return }
        }
    }

    private func take() -> Int? {
        condition.lock()
        defer { condition.unlock() }
        while order.count >= capacity && !isStopped { condition.wait() }
        if isStopped { return nil }
        let number = place < first.count ? first[place] : next + place - first.count
        place += stride
        order.append(number)
        inWork[number] = .now
        return number
    }

    /// The next sample in order; waits for it.
    func pop() -> PreparedSample {
        condition.lock()
        defer { condition.unlock() }
        while true {
            if let number = order.first {
                if let sample = ready.removeValue(forKey: number) {
                    order.removeFirst()
                    condition.broadcast()
                    return sample
                }
                if let watch, let start = inWork[number], isLate(start) {
                    inWork[number] = nil
                    order.removeFirst()
                    startThread()
                    condition.broadcast()
                    return watch.late(number)
                }
            }
            waitABit()
        }
    }

    private func isLate(_ start: ContinuousClock.Instant) -> Bool {
        watch.map { ContinuousClock.now - start > $0.patience } ?? false
    }

    /// Waits for news, or long enough to look at the time again.
    private func waitABit() {
        if watch == nil { condition.wait() } else { _ = condition.wait(until: Date(timeIntervalSinceNow: 0.2)) }
    }

    /// Ends the threads and waits for what they have in work, but not for what hangs.
    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        while inWork.values.contains(where: { !isLate($0) }) { waitABit() }
        inWork = [:]
        condition.unlock()
    }
}

extension SampleQueue.Watch {
    /// Tells late samples by where they come from.
    init(patience: Duration, over mixture: SampleMixture) {
        self.init(patience: patience) { number in
            let place = mixture.place(number), id = place.source.id(of: place.index)
            let files = Self.files(of: place.source, place.index)
            let origin = files.isEmpty ? "" : " from \(files.joined(separator: ", "))"
            return PreparedSample(
                number: number, id: id, source: place.source.name,
                result: .failure(
                    SkippedSample(
                        id: id, reason: .timedOut,
                        message: "it could not be read\(origin) within \(patience.seconds) s; does a disk hang?")))
        }
    }

    /// What a sample is read from. The list of samples may lie on the disk that hangs, too.
    private static func files(of source: any TrainingDataSource, _ index: Int) -> [String] {
        let answer = Answer()
        Thread.detachNewThread { answer.give(source.files(of: index)) }
        return answer.wait(seconds: 1)
    }
}

/// What another thread finds out, if it does in time.
private final class Answer: @unchecked Sendable {
    private let condition = NSCondition()
    private var files: [String]?

    func give(_ files: [String]) {
        condition.withLock {
            self.files = files
            condition.signal()
        }
    }

    func wait(seconds: Double) -> [String] {
        let end = Date(timeIntervalSinceNow: seconds)
        return condition.withLock {
            while files == nil, condition.wait(until: end) {}
            return files ?? []
        }
    }
}
