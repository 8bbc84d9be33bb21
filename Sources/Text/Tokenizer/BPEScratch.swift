/// The symbols of one word while they are merged; kept from word to word so that nothing is allocated.
struct BPEScratch {
    private(set) var ids: [Int32] = []
    /// The length in bytes of the text of each symbol.
    private(set) var lengths: [Int32] = []
    private var pairs: [UInt64] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var heap: [UInt64] = []

    /// Up to this many symbols, looking through all pairs beats a heap.
    var scanLimit = 40

    mutating func removeAll() {
        ids.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
    }

    @inline(__always)
    mutating func append(_ id: Int32, _ length: Int) {
        ids.append(id)
        lengths.append(Int32(truncatingIfNeeded: length))
    }

    /// Merges the pair of the lowest rank, the leftmost first, until no pair has a merge.
    mutating func merge(_ merges: MergeTable) {
        if ids.count < 2 { return }
        if ids.count <= scanLimit { mergeByScan(merges) } else { mergeByHeap(merges) }
    }

    private mutating func mergeByScan(_ merges: MergeTable) {
        pairs.removeAll(keepingCapacity: true)
        for index in 0..<(ids.count - 1) { pairs.append(merges.find(ids[index], ids[index + 1])) }
        while true {
            var best = MergeTable.none
            var at = 0
            for index in pairs.indices where pairs[index] < best {
                best = pairs[index]
                at = index
            }
            if best == MergeTable.none { return }
            ids[at] = Int32(truncatingIfNeeded: best)
            lengths[at] += lengths[at + 1]
            ids.remove(at: at + 1)
            lengths.remove(at: at + 1)
            pairs.remove(at: at)
            if at > 0 { pairs[at - 1] = merges.find(ids[at - 1], ids[at]) }
            if at < pairs.count { pairs[at] = merges.find(ids[at], ids[at + 1]) }
        }
    }

    private mutating func mergeByHeap(_ merges: MergeTable) {
        let count = ids.count
        next.removeAll(keepingCapacity: true)
        previous.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
        for index in 0..<count {
            next.append(index + 1 < count ? Int32(index + 1) : -1)
            previous.append(Int32(index - 1))
        }
        for index in 0..<(count - 1) { push(merges.find(ids[index], ids[index + 1]), index) }
        while let top = pop() {
            let position = Int(top & 0xFFFF_FFFF)
            // A symbol that was merged into another has length 0.
            guard lengths[position] > 0, next[position] >= 0 else { continue }
            let right = Int(next[position])
            let found = merges.find(ids[position], ids[right])
            guard found != MergeTable.none, found >> 32 == top >> 32 else { continue }
            ids[position] = Int32(truncatingIfNeeded: found)
            lengths[position] += lengths[right]
            lengths[right] = 0
            next[position] = next[right]
            if next[right] >= 0 {
                previous[Int(next[right])] = Int32(position)
                push(merges.find(ids[position], ids[Int(next[right])]), position)
            }
            if previous[position] >= 0 {
                let left = Int(previous[position])
                push(merges.find(ids[left], ids[position]), left)
            }
        }
        var kept = 0
        for index in 0..<count where lengths[index] > 0 {
            ids[kept] = ids[index]
            lengths[kept] = lengths[index]
            kept += 1
        }
        ids.removeLast(count - kept)
        lengths.removeLast(count - kept)
    }

    private mutating func push(_ merge: UInt64, _ position: Int) {
        if merge == MergeTable.none { return }
        // Ordered by rank, then by position.
        let item = merge & 0xFFFF_FFFF_0000_0000 | UInt64(position)
        heap.append(item)
        var index = heap.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            if heap[parent] <= item { break }
            heap[index] = heap[parent]
            index = parent
        }
        heap[index] = item
    }

    private mutating func pop() -> UInt64? {
        guard let top = heap.first, let item = heap.popLast() else { return nil }
        if heap.isEmpty { return top }
        var index = 0
        while true {
            var child = 2 * index + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            if heap[child] >= item { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = item
        return top
    }
}
