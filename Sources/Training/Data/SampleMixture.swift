internal import Media
internal import Synchronization

/// Several sources as one endless sequence. Which sample stands at a place is a function of the seed, the sources and
/// the place alone, so that a resumed run goes on where it stopped.
final class SampleMixture: Sendable {
    let sources: [any TrainingDataSource]
    private let weights: [Double]
    private let seed: UInt64
    private let drawn: Mutex<Drawn>

    /// How often each source was drawn before `next`.
    private struct Drawn {
        var next = 0
        var counts: [Int]
        /// The order of an epoch of a source.
        var orders: [Int: (epoch: Int, order: [Int32])] = [:]
    }

    init(_ sources: [(source: any TrainingDataSource, weight: Double)], seed: UInt64) {
        precondition(!sources.isEmpty, "a mixture of nothing")
        self.sources = sources.map(\.source)
        weights = sources.map(\.weight)
        self.seed = seed
        drawn = Mutex(Drawn(counts: Array(repeating: 0, count: sources.count)))
    }

    /// The source and the index in it of place `number`.
    func place(_ number: Int) -> (source: any TrainingDataSource, index: Int) {
        drawn.withLock { drawn in
            // Draws are cheap, so that any place is reached by drawing up to it; places mostly come in order.
            if number < drawn.next {
                drawn.next = 0
                drawn.counts = Array(repeating: 0, count: sources.count)
            }
            while true {
                var generator = SeededGenerator(seed: seed, stream: UInt64(drawn.next))
                let choice = generator.index(weights: weights)
                let count = drawn.counts[choice]
                drawn.counts[choice] += 1
                drawn.next += 1
                if drawn.next > number { return (sources[choice], index(of: count, in: choice, &drawn)) }
            }
        }
    }

    /// Finite sources are shuffled anew for every epoch.
    private func index(of count: Int, in choice: Int, _ drawn: inout Drawn) -> Int {
        guard let length = sources[choice].count, length > 0 else { return count }
        let epoch = count / length
        if drawn.orders[choice]?.epoch != epoch {
            var generator = SeededGenerator(
                seed: seed ^ 0x6570_6F63_6873, stream: UInt64(epoch * sources.count + choice))
            drawn.orders[choice] = (epoch, generator.shuffled((0..<length).map { Int32($0) }))
        }
        return Int(drawn.orders[choice]?.order[count % length] ?? 0)
    }
}
