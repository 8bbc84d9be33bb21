/// Which rank computes which micro-batches of a step: about equal costs, so that none waits long for the others.
struct BatchDeal: Equatable {
    /// A sample of the step.
    struct Place: Equatable {
        var microBatch: Int
        var index: Int
    }

    /// What a rank computes at a time.
    struct Work: Equatable {
        var microBatch: Int
        /// What it computes in place of a micro-batch in which there is nothing to learn, and counts nothing.
        var borrowed: Place?
        /// Whose picture it looks at beside it, and counts nothing.
        var companion: Place?
    }

    /// By rank. What stands at the same place is computed at the same time.
    private(set) var work: [[Work]]
    /// The cost of the rank that has most to do, over the mean of all, less 1.
    let imbalance: Double

    /// - Parameters:
    ///   - sizes: of each sample of each micro-batch.
    ///   - keepsStep: whether all ranks must go through the same parts of the model at the same time: then a micro-batch
    ///     without anything to learn, or without pictures, borrows from the others of its time.
    ///   - cost: of a micro-batch.
    init(_ sizes: [[SampleSize]], ranks: Int, keepsStep: Bool, cost: (SampleSize) -> Double) {
        let costs = sizes.map { cost($0.reduce(SampleSize(), +)) }
        // The dearest first, each to the rank with least so far. Where ranks keep step, those of one time are alike, too.
        let order = costs.indices.sorted { (costs[$1], $0) < (costs[$0], $1) }
        let most = (costs.count + ranks - 1) / ranks
        var totals = [Double](repeating: 0, count: ranks)
        var work = [[Work]](repeating: [], count: ranks)
        for (place, number) in order.enumerated() {
            let room = keepsStep ? place / ranks + 1 : most
            let free = work.indices.filter { work[$0].count < room }
            guard let rank = free.min(by: { (totals[$0], $0) < (totals[$1], $1) }) else { continue }
            work[rank].append(Work(microBatch: number))
            totals[rank] += costs[number]
        }
        if !keepsStep { work = work.map { $0.sorted { $0.microBatch < $1.microBatch } } }
        self.work = work
        let mean = totals.reduce(0, +) / Double(ranks)
        imbalance = mean > 0 ? (totals.max() ?? 0) / mean - 1 : 0
        if keepsStep { borrow(sizes) }
    }

    private mutating func borrow(_ sizes: [[SampleSize]]) {
        for time in work.map(\.count).max().map({ 0..<$0 }) ?? 0..<0 {
            let wave = work.filter { $0.count > time }.map { $0[time].microBatch }.sorted()
            let places = wave.flatMap { number in
                sizes[number].indices.map { (place: Place(microBatch: number, index: $0), size: sizes[number][$0]) }
            }
            // Where nobody learns, nobody computes.
            guard let shortest = places.filter({ $0.size.supervised > 0 }).min(by: { $0.size.tokens < $1.size.tokens })
            else { continue }
            let seen = places.filter { $0.size.patches > 0 }.min { $0.size.patches < $1.size.patches }?.place
            for rank in work.indices where work[rank].count > time {
                let own = sizes[work[rank][time].microBatch].reduce(SampleSize(), +)
                var hasPictures = own.pictures > 0
                if own.supervised == 0 {
                    work[rank][time].borrowed = shortest.place
                    hasPictures = shortest.size.pictures > 0
                }
                if !hasPictures { work[rank][time].companion = seen }
            }
        }
    }

    /// The samples that a rank must have.
    func needed(by rank: Int, _ counts: [Int]) -> [Place] {
        work[rank].flatMap { work in
            (work.borrowed.map { [$0] }
                ?? (0..<counts[work.microBatch]).map { Place(microBatch: work.microBatch, index: $0) })
                + (work.companion.map { [$0] } ?? [])
        }
    }
}
