import Data
import Foundation
import Models
import Synchronization
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Ranks prepare samples for each other", .inTurn)
struct SampleExchangeTests {
    private final class Log: Sendable {
        let numbers = Mutex<[Int]>([])
    }

    private struct Seen: Sendable {
        var prepared: [Int]
        var packed: [[[Int]]]
        var skipped: [String]
        /// What came whole, and what of it is not what this rank would have made itself.
        var whole: Set<Int>
        var wrong: [Int]
        /// Samples of its own micro-batches that are missing.
        var missing = 0
    }

    /// Five steps from a cursor in the middle of things.
    private func steps(_ ranks: Int) throws -> [Seen] {
        let batch = Recipe.Batch(tokens: 400, maxPatches: nil, maxSamples: 3, accumulation: 4, lookAhead: 5)
        return try onRanks(ranks) { group in
            let processor = try TinyModel().description.processor
            let source = try SyntheticSource(.init(seed: 5, sides: 112...140, difficulty: 0))
            let log = Log()
            @Sendable func prepared(_ number: Int) -> PreparedSample {
                // Every ninth cannot be read.
                number % 9 == 8
                    ? PreparedSample(
                        number: number, id: "\(number)", source: "synthetic",
                        result: .failure(SkippedSample(id: "\(number)", reason: .unreadable, message: "cut short")))
                    : PreparedSample(number, (source, number), processor, withRegions: true)
            }
            let queue = SampleQueue(first: [3, 1], next: 7, workers: 2, capacity: 6, share: (group.rank, group.size)) {
                number in
                log.numbers.withLock { $0.append(number) }
                return prepared(number)
            }
            let exchange = SampleExchange(queue, group)
            var packer = BatchPacker(batch, from: DataCursor(next: 7, waiting: [3, 1]))
            var seen = Seen(prepared: [], packed: [], skipped: [], whole: [], wrong: [])
            for _ in 0..<5 {
                var step = try packer.step(exchange.next)
                let deal = BatchDeal(step.microBatches.map { $0.map(\.amount) }, ranks: ranks, keepsStep: false) {
                    Double($0.tokens)
                }
                let counts = step.microBatches.map(\.count)
                let needs = (0..<ranks).map { deal.needed(by: $0, counts) }
                try exchange.deliver(&step, to: needs, waiting: packer.cursor.waiting)
                seen.packed.append(step.microBatches.map { $0.map(\.number) })
                seen.skipped += step.skipped.map { "\($0.id) \($0.reason) \($0.message)" }
                for place in needs[group.rank] {
                    let sample = step.microBatches[place.microBatch][place.index]
                    guard let sequence = sample.sequence else {
                        seen.missing += 1
                        continue
                    }
                    seen.whole.insert(sample.number)
                    let own = prepared(sample.number)
                    let pixels = try sequence.items.map { try $0.pixels.bytes() }
                    guard let made = own.sequence, made.rows == sequence.rows, own.id == sample.id,
                        made.nextPosition == sequence.nextPosition, made.promptText == sequence.promptText,
                        try made.items.map({ try $0.pixels.bytes() }) == pixels,
                        made.items.map(\.layout) == sequence.items.map(\.layout),
                        own.regions?.foreground == sample.regions?.foreground,
                        own.regions?.edges == sample.regions?.edges, own.amount == sample.amount
                    else {
                        seen.wrong.append(sample.number)
                        continue
                    }
                }
            }
            queue.stop()
            seen.prepared = log.numbers.withLock { $0 }
            return seen
        }
    }

    @Test("Each sample is prepared once, all ranks pack the same, and each gets its own to the last pixel")
    func once() throws {
        let alone = try #require(try steps(1).first)
        #expect(alone.packed.count == 5 && !alone.skipped.isEmpty)
        for ranks in [2, 4] {
            let all = try steps(ranks)
            for seen in all {
                #expect(seen.packed == alone.packed)
                #expect(seen.skipped == alone.skipped)
                #expect(seen.wrong.isEmpty && seen.missing == 0)
            }
            let prepared = all.flatMap(\.prepared)
            #expect(Set(prepared).count == prepared.count)
            #expect(all.reduce(Set()) { $0.union($1.whole) } == Set(alone.packed.joined().joined()))
            // No rank learns from all.
            #expect(all.allSatisfy { $0.whole.count < alone.whole.count })
        }
    }

    @Test("A parcel that was cut short is no sample")
    func cut() throws {
        let tiny = try TinyModel()
        let samples = try tiny.sequences(0..<2).enumerated().map {
            PreparedSample(number: $0, id: "\($0)", source: "", result: .success($1))
        }
        let data = try SampleParcel.data(samples)
        #expect(try SampleParcel.samples(data).map(\.number) == [0, 1])
        for length in [1, 7, 8, 100, data.count / 2, data.count - 1] {
            #expect(throws: (any Error).self) { try SampleParcel.samples(data.prefix(length)) }
        }
    }
}
