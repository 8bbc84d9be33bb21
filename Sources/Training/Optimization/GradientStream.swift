internal import Foundation
internal import NN
internal import Torch

/// A part of the gradients that goes to the other ranks as one.
final class Bucket {
    /// Values, at least, of a part of a larger group.
    static let size = 1 << 20

    struct Part {
        let group: Optimizer.Group
        /// Of the group's values.
        let range: Range<Int>
    }

    var parts: [Part] = []
    /// Parameters in it, and those of them whose gradients are not yet known.
    var count = 0
    var missing = 0
    /// Where gradients are added up that nobody keeps whole, by the group's number among the parts.
    var sums: [Tensor?] = []
}

/// Takes gradients from a pass as they come, adds them up over micro-batches, and sends them to the other ranks, where there
/// are any, bucket by bucket while the pass goes on (Li et al. 2020, section 3.2). A gradient in the precision of the pass
/// is gone as soon as it is added: no pass keeps those of all parameters.
///
/// Micro-batches are added in their order, whichever thread is first. Buckets leave in one order on all ranks: a bucket
/// that is ready early waits for those before it.
final class GradientStream: @unchecked Sendable {
    /// The place in its wave of the micro-batch that this thread computes.
    @TaskLocal static var place = 0
    /// The place of a pass that gets its gradients back, as if nobody took them.
    static let nowhere = -1
    /// Asked before each gradient is taken; what it throws ends the pass. Only tests set this.
    @TaskLocal static var beforeTaking: (@Sendable () throws -> Void)?

    private let courier: Courier?
    private let ranks: ProcessGroup
    /// The courier's own, by the groups whose ranks they lead to.
    private var connections: [ObjectIdentifier: ProcessGroup] = [:]
    private let slots: [(slot: Optimizer.Slot, bucket: Int, part: Int)]
    private let buckets: [Bucket]
    private let lock = NSLock()

    /// In which buckets leave, and that in which they were ready the first time.
    private var order: [Int]
    private var observed: [Int] = []
    private var isOrderKnown = false
    /// Buckets that left in the step so far, and those of them that left while a pass was still going on.
    private(set) var sent = (all: 0, early: 0)
    private var isFinishing = false
    /// Whether buckets wait for the end of the pass. The courier also brings blocks together that are spread, in an order
    /// that is the same on all ranks; when a gradient arrives may not be, as where one rank has no pictures.
    var waitsForPass = false

    // Of the wave:
    private var places = 0
    private var isLast = false
    private var arrived: [[Int: Tensor?]] = []
    private var nextPlace: [Int] = []
    private var nextBucket = 0
    private var leaves: [Tensor] = []
    private var errands: [Courier.Errand] = []

    /// - Parameters:
    ///   - ranks: those that learn together, each from micro-batches of its own.
    ///   - courier: nil where there are no others.
    init(_ groups: [Optimizer.Group], _ ranks: ProcessGroup, _ courier: Courier?) throws {
        self.courier = courier
        self.ranks = ranks
        var buckets: [Bucket] = [], slots: [(Optimizer.Slot, Int, Int)] = [], byUnit: [Int: Int] = [:]
        for group in groups where group.layout != .spread {
            if group.layout != .whole {
                let number = group.unit.flatMap { byUnit[$0] } ?? buckets.count
                if number == buckets.count { buckets.append(Bucket()) }
                if let unit = group.unit { byUnit[unit] = number }
                buckets[number].parts.append(.init(group: group, range: 0..<group.count))
                for slot in group.slots { slots.append((slot, number, buckets[number].parts.count - 1)) }
                continue
            }
            // Cut by whole sizes: ranks with other pieces have the same buckets.
            var start = 0, size = 0
            for (index, slot) in group.slots.enumerated() {
                if size == 0 { buckets.append(Bucket()) }
                slots.append((slot, buckets.count - 1, 0))
                size += slot.parameter.wholeShape.reduce(1, *)
                let isLast = index == group.slots.count - 1
                guard isLast || size >= Bucket.size else { continue }
                let end = isLast ? group.count : group.slots[index + 1].range.lowerBound
                buckets[buckets.count - 1].parts = [.init(group: group, range: start..<end)]
                (start, size) = (end, 0)
            }
        }
        for (_, bucket, _) in slots { buckets[bucket].count += 1 }
        self.buckets = buckets
        self.slots = slots
        // Passes go back from the last parameter to the first.
        order = buckets.indices.reversed()
        for group in groups where group.ranks.size > 1 {
            connections[ObjectIdentifier(group.ranks)] = try group.ranks.sibling()
        }
    }

    /// Begins to take the gradients of a wave of micro-batches.
    ///
    /// - Parameter isLast: whether the step ends with it, so that sums may go.
    func begin(places: Int, isLast: Bool) throws {
        self.places = places
        self.isLast = isLast
        arrived = Array(repeating: [:], count: slots.count)
        nextPlace = Array(repeating: 0, count: slots.count)
        nextBucket = 0
        for bucket in buckets {
            bucket.missing = bucket.count
            bucket.sums = bucket.parts.map { _ in nil }
        }
        leaves = slots.map(\.slot.parameter.tensor)
        for (index, leaf) in leaves.enumerated() {
            // A gradient arrives here when all uses of the leaf have added theirs.
            slots[index].slot.parameter.tensor = try withGradient {
                try customFunction(inputs: [leaf], isLeaf: true) {
                    [leaf]
                } backward: { [unowned self] gradients in
                    guard Self.place != Self.nowhere else { return [gradients[0]] }
                    try Self.beforeTaking?()
                    try lock.withLock { try receive(index, gradients[0], Self.place) }
                    return [nil]
                }[0]
            }
        }
    }

    /// Whether gradients of a micro-batch have come: then it cannot be computed in another way.
    func hasTaken(from place: Int) -> Bool {
        lock.withLock { slots.indices.contains { nextPlace[$0] > place || arrived[$0][place] != nil } }
    }

    /// Takes the gradients of several passes that are one micro-batch, in the order of the optimiser's leaves.
    func take(_ passes: [[Tensor?]], place: Int) throws {
        try withoutGradient {
            for index in slots.indices {
                let found = passes.compactMap { $0[index] }
                guard let first = found.first else { continue }
                let sum = try found.dropFirst().reduce(first) { try $0 + $1 }
                try lock.withLock { try receive(index, sum, place) }
            }
        }
    }

    /// Says that a micro-batch's pass is done: no more gradients come from it.
    func finish(place: Int) throws {
        try lock.withLock {
            isFinishing = true
            defer { isFinishing = false }
            for index in slots.indices where nextPlace[index] <= place && arrived[index][place] == nil {
                try receive(index, nil, place)
            }
            try sendReady()
        }
    }

    /// Gives the model back its own tensors, also when a wave ends before its time.
    func leave() {
        for (entry, leaf) in zip(slots, leaves) { entry.slot.parameter.tensor = leaf }
        leaves = []
        arrived = []
    }

    /// Ends a wave; after the last one, waits for the other ranks.
    func end() throws {
        leave()
        guard isLast else { return }
        defer { errands = [] }
        for errand in errands { _ = try errand.wait() }
        guard !isOrderKnown, ranks.size > 1 else { return }
        // What was ready first on rank 0 goes first from now on.
        let agreed = try ranks.gathered(observed.map(Double.init), for: "agreeing on an order")[0].map { Int($0) }
        if Set(agreed) == Set(order) { order = agreed }
        isOrderKnown = true
    }

    private func receive(_ index: Int, _ gradient: Tensor?, _ place: Int) throws {
        arrived[index][place] = .some(gradient)
        while nextPlace[index] < places, let next = arrived[index].removeValue(forKey: nextPlace[index]) {
            if let next { try add(index, next) }
            nextPlace[index] += 1
        }
        guard nextPlace[index] == places else { return }
        let number = slots[index].bucket
        buckets[number].missing -= 1
        guard buckets[number].missing == 0 else { return }
        if isLast, !isOrderKnown { observed.append(number) }
        if !waitsForPass { try sendReady() }
    }

    private func sendReady() throws {
        while nextBucket < order.count, buckets[order[nextBucket]].missing == 0 {
            try send(buckets[order[nextBucket]])
            nextBucket += 1
        }
    }

    private func add(_ index: Int, _ gradient: Tensor) throws {
        let (slot, number, part) = slots[index]
        let group = buckets[number].parts[part].group
        // Offloaded sums are elsewhere.
        let gradient = try gradient.to(group.gradient.device)
        if let sum = slot.gradient { return try sum.addInPlace(gradient) }
        let sum = try buckets[number].sums[part] ?? Tensor.zeros([group.count], device: group.gradient.device)
        buckets[number].sums[part] = sum
        try sum.slice(0, slot.range).view(slot.shape).addInPlace(gradient)
    }

    private func send(_ bucket: Bucket) throws {
        sent = (sent.all + 1, sent.early + (isFinishing ? 0 : 1))
        for (index, part) in bucket.parts.enumerated() {
            let group = part.group, name = "adding up gradients"
            guard let courier, let ranks = connections[ObjectIdentifier(group.ranks)] else { continue }
            switch (group.layout, group.collected) {
            case (.whole, _) where isLast && !part.range.isEmpty:
                let sum = try group.gradient.slice(0, part.range)
                errands.append(
                    courier.send {
                        try ranks.allReduce(sum, for: name); return []
                    })
            case (.sharedState, let collected?) where isLast:
                errands.append(
                    courier.send {
                        try ranks.reduceScatter(collected, into: group.gradient, for: name); return []
                    })
            case (.sharedGradients, _):
                let whole = try bucket.sums[index] ?? Tensor.zeros([group.count], device: group.gradient.device)
                bucket.sums[index] = nil
                errands.append(
                    courier.send {
                        let sum = try Tensor.empty([group.share.count], device: group.gradient.device)
                        try ranks.reduceScatter(whole, into: sum, for: name)
                        try group.gradient.addInPlace(sum)
                        return []
                    })
            default: break
            }
        }
    }
}
