internal import Foundation
internal import Torch

/// Samples that ranks prepare for each other: each prepares every so-manieth one and tells all the others how large it is;
/// who learns from it gets it. So every sample is prepared once, and every rank packs the same batches.
final class SampleExchange {
    private let queue: SampleQueue
    private let ranks: ProcessGroup
    /// Those that were told and not yet asked for.
    private var told: [PreparedSample] = []
    /// Who prepared what is not yet learned from, by number; and what this rank prepared of it.
    private var owners: [Int: Int] = [:]
    private var held: [Int: PreparedSample] = [:]

    /// Samples of each rank that are told of at a time.
    static let perRank = 4

    /// - Parameter queue: of the rank's own share.
    init(_ queue: SampleQueue, _ ranks: ProcessGroup) {
        self.queue = queue
        self.ranks = ranks
    }

    private struct Word: Codable {
        var number: Int
        var id: String
        var source: String
        var size: SampleSize?
        var skipped: SkippedSample?
    }

    /// The next sample in order. It is complete on the rank that prepared it, and nothing but its size on others.
    func next() throws -> PreparedSample {
        guard ranks.size > 1 else { return queue.pop() }
        if told.isEmpty { try tell() }
        return told.removeFirst()
    }

    private func tell() throws {
        let own = (0..<Self.perRank).map { _ in queue.pop() }
        let words = own.map { sample in
            switch sample.size {
            case .success(let size): Word(number: sample.number, id: sample.id, source: sample.source, size: size)
            case .failure(let skipped):
                Word(number: sample.number, id: sample.id, source: sample.source, skipped: skipped)
            }
        }
        let data = try JSONEncoder().encode(words)
        // Preparing takes as long as it takes; a rank that dies meanwhile is noticed at once all the same.
        let all = try ranks.exchange(
            Array(repeating: data, count: ranks.size), for: "telling of samples", timeout: ProcessGroup.patience
        ).map { try JSONDecoder().decode([Word].self, from: $0) }
        for index in 0..<Self.perRank {
            for (rank, words) in all.enumerated() {
                guard words.indices.contains(index) else {
                    throw TrainingError.exchange("rank \(rank) told of \(words.count) samples, not \(Self.perRank)")
                }
                let word = words[index]
                if rank == ranks.rank {
                    told.append(own[index])
                } else {
                    let size = word.size.map { Result<SampleSize, SkippedSample>.success($0) }
                    let none = SkippedSample(id: word.id, reason: .unreadable, message: "its rank said nothing")
                    told.append(
                        PreparedSample(
                            number: word.number, id: word.id, source: word.source,
                            size: size ?? .failure(word.skipped ?? none)))
                }
                guard word.size != nil else { continue }
                owners[word.number] = rank
                if rank == ranks.rank { held[word.number] = own[index] }
            }
        }
    }

    /// Brings the samples of a step to the ranks that need them.
    ///
    /// - Parameters:
    ///   - needs: for each rank.
    ///   - waiting: numbers of samples that are packed later.
    func deliver(_ step: inout BatchPacker.Step, to needs: [[BatchDeal.Place]], waiting: [Int]) throws {
        guard ranks.size > 1 else { return }
        var parcels: [Data] = []
        for (rank, places) in needs.enumerated() {
            guard rank != ranks.rank else {
                parcels.append(Data())
                continue
            }
            var numbers: [Int] = []
            for place in places {
                let number = step.microBatches[place.microBatch][place.index].number
                if !numbers.contains(number) { numbers.append(number) }
            }
            parcels.append(try SampleParcel.data(numbers.compactMap { held[$0] }))
        }
        var here = held
        for parcel in try ranks.exchange(parcels, for: "exchanging samples", timeout: ProcessGroup.patience) {
            for sample in try SampleParcel.samples(parcel) { here[sample.number] = sample }
        }
        for place in needs[ranks.rank] {
            let number = step.microBatches[place.microBatch][place.index].number
            guard let sample = here[number] else {
                throw TrainingError.exchange(
                    "sample \(number) did not come from rank \(owners[number].map(String.init) ?? "?")")
            }
            step.microBatches[place.microBatch][place.index] = sample
        }
        let kept = Set(waiting).union(told.map(\.number))
        owners = owners.filter { kept.contains($0.key) }
        held = held.filter { kept.contains($0.key) }
    }

    func stop() { queue.stop() }
}
