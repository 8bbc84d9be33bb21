import Data
import Media
import Models
import Testing

@testable import Training

@Suite("Batches")
struct PackingTests {
    private func sample(_ number: Int) -> PreparedSample {
        let tokens = 3 + (number * 7919) % 40
        var rows = (0..<tokens).map { TokenRow(id: Int32($0), position: .zero) }
        // Every eleventh has no answer.
        if number % 11 != 10 { rows[tokens - 1].isSupervised = true }
        return PreparedSample(
            number: number, id: "\(number)", source: "numbers",
            result: .success(ProcessedSequence(rows: rows, items: [], nextPosition: 0, promptText: "")))
    }

    private let batch = Recipe.Batch(tokens: 60, maxPatches: nil, maxSamples: 4, accumulation: 2, lookAhead: 6)

    @Test("Every usable sample is packed once, within the limits, and none waits for long")
    func limits() {
        var packer = BatchPacker(batch, from: DataCursor())
        var next = 0, seen: [Int] = []
        for _ in 0..<200 {
            let step = packer.step {
                defer { next += 1 }; return sample(next)
            }
            #expect(step.microBatches.count == 2)
            for pack in step.microBatches {
                #expect((1...4).contains(pack.count))
                #expect(pack.reduce(0) { $0 + ($1.sequence?.rows.count ?? 0) } <= 60)
                seen += pack.map(\.number)
            }
            #expect(step.skipped.allSatisfy { $0.reason == .nothingToLearn })
            #expect(packer.cursor.waiting.allSatisfy { $0 > next - 40 })
        }
        #expect(Set(seen).count == seen.count)
        #expect(Set(seen).union(packer.cursor.waiting) == Set((0..<next).filter { $0 % 11 != 10 }))
    }

    @Test("Rows of mixed data are more than 95 % full", arguments: [(4096, 16), (4096, 64), (8192, 64)])
    func filled(_ tokens: Int, _ lookAhead: Int) throws {
        // Words without pictures, questions about small pictures, and pages of writing, as they come.
        let model = try ModelFolder(TinyModel.folder)
        var options = SyntheticOptions(seed: 4, weights: SyntheticOptions.only(.text), sides: 448...784)
        let pages = try SyntheticGenerator(options)
        options = SyntheticOptions(seed: 5, sides: 112...336)
        let scenes = try SyntheticGenerator(options)
        let lengths = try (0..<60).map { index in
            let sample = try (index % 3 == 0 ? pages : scenes).sample(at: index)
            var conversation = sample.conversation
            if index % 4 == 1 { conversation = conversation.prefix(2).map { Message($0.role, $0.text) } }
            return try model.processor.process(conversation, .training).rows.count
        }
        try #require((lengths.max() ?? 0) > 8 * (lengths.min() ?? 0))
        var generator = SeededGenerator(seed: 1)
        let order = (0..<20_000).map { _ in lengths[generator.index(weights: lengths.map { _ in 1 })] }
        var packer = BatchPacker(
            Recipe.Batch(tokens: tokens, maxPatches: nil, maxSamples: nil, accumulation: 1, lookAhead: lookAhead),
            from: DataCursor())
        var next = 0, held = 0
        let rows = 100
        for _ in 0..<rows {
            let step = packer.step {
                defer { next += 1 }
                var rows = (0..<order[next]).map { TokenRow(id: Int32($0), position: .zero) }
                rows[rows.count - 1].isSupervised = true
                return PreparedSample(
                    number: next, id: "\(next)", source: "mixed",
                    result: .success(ProcessedSequence(rows: rows, items: [], nextPosition: 0, promptText: "")))
            }
            held += step.microBatches.joined().reduce(0) { $0 + ($1.sequence?.rows.count ?? 0) }
        }
        let share = Double(held) / Double(rows * tokens)
        #expect(share > 0.95)
        print(
            "packing: rows of \(tokens) tokens, \(lookAhead) samples ahead of \(lengths.min() ?? 0) to "
                + "\(lengths.max() ?? 0) tokens: \(share) full")
    }

    @Test("Going on from a cursor gives the same batches", arguments: [1, 7, 30])
    func cursor(_ steps: Int) {
        var packer = BatchPacker(batch, from: DataCursor())
        var next = 0
        for _ in 0..<steps {
            _ = packer.step {
                defer { next += 1 }; return sample(next)
            }
        }
        let cursor = packer.cursor
        var resumed = BatchPacker(batch, from: cursor)
        var numbers = cursor.waiting + Array(cursor.next..<cursor.next + 500)
        for _ in 0..<20 {
            let one = packer.step {
                defer { next += 1 }; return sample(next)
            }
            let other = resumed.step { sample(numbers.removeFirst()) }
            #expect(one.microBatches.map { $0.map(\.number) } == other.microBatches.map { $0.map(\.number) })
            #expect(packer.cursor == resumed.cursor)
        }
    }

    @Test("Samples come in order, however many threads prepare them", arguments: [1, 2, 5])
    func queue(_ workers: Int) {
        let queue = SampleQueue(first: [7, 3], next: 10, workers: workers, capacity: 8) { number in sample(number) }
        #expect((0..<50).map { _ in queue.pop().number } == [7, 3] + Array(10..<58))
        queue.stop()
    }

    private struct Source: TrainingDataSource {
        var name: String
        var count: Int?
        func sample(at index: Int) throws -> TrainingSample { TrainingSample(id: "\(name)\(index)", conversation: []) }
    }

    @Test("A mixture's places depend on the seed alone; finite sources are gone through epoch by epoch")
    func mixture() {
        let sources: [(source: any TrainingDataSource, weight: Double)] = [
            (Source(name: "a", count: 10), 3), (Source(name: "b", count: nil), 1),
        ]
        let mixture = SampleMixture(sources, seed: 4), again = SampleMixture(sources, seed: 4)
        let places = (0..<400).map { mixture.place($0) }
        let first = places.filter { $0.source.name == "a" }.map(\.index)
        #expect((250..<350).contains(first.count))
        for epoch in 0..<first.count / 10 { #expect(Set(first[epoch * 10..<(epoch + 1) * 10]) == Set(0..<10)) }
        #expect(Array(first[0..<10]) != Array(first[10..<20]))
        let second = places.filter { $0.source.name == "b" }.map(\.index)
        #expect(second == Array(0..<second.count))
        for number in [399, 20, 21, 5, 300] {
            let place = again.place(number)
            #expect(place.index == places[number].index && place.source.name == places[number].source.name)
        }
    }
}
