/// A hash table from byte strings to 64-bit values; the keys lie one after the other in one array.
///
/// Faster than a dictionary of arrays for two reasons: a key is looked up where it lies in a longer text, and nothing is
/// allocated per key.
struct ByteKeyTable: Sendable {
    private struct Entry: Sendable {
        var hash: UInt32
        var start: UInt32
        var length: UInt32
        var value: UInt64
    }

    private var slots: [Int32]
    private var entries: [Entry] = []
    private var arena: [UInt8] = []

    init(minimumCapacity: Int = 64) {
        var capacity = 128
        while capacity < minimumCapacity * 2 { capacity *= 2 }
        slots = [Int32](repeating: -1, count: capacity)
        entries.reserveCapacity(minimumCapacity)
    }

    var count: Int { entries.count }
    var arenaBytes: Int { arena.count }

    @inline(__always)
    private static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for index in range { hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01B3 }
        hash ^= hash >> 29
        return UInt32(truncatingIfNeeded: (hash &* 0x9E37_79B9_7F4A_7C15) >> 32)
    }

    @inline(__always)
    private func matches(_ entry: Entry, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        if Int(entry.length) != range.count { return false }
        let start = Int(entry.start)
        for offset in 0..<range.count where arena[start + offset] != bytes[range.lowerBound + offset] { return false }
        return true
    }

    /// The value of the key that lies in this range of `bytes`.
    @inline(__always)
    func find(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64? {
        let hash = Self.hash(bytes, range)
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while true {
            let index = slots[slot]
            if index < 0 { return nil }
            let entry = entries[Int(index)]
            if entry.hash == hash, matches(entry, bytes, range) { return entry.value }
            slot = (slot + 1) & mask
        }
    }

    func find(_ key: [UInt8]) -> UInt64? { find(key, 0..<key.count) }

    /// Adds a key, or gives a known key another value.
    mutating func insert(_ bytes: [UInt8], _ range: Range<Int>, _ value: UInt64) {
        let hash = Self.hash(bytes, range)
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            if entries[index].hash == hash, matches(entries[index], bytes, range) {
                entries[index].value = value
                return
            }
            slot = (slot + 1) & mask
        }
        slots[slot] = Int32(entries.count)
        entries.append(
            Entry(hash: hash, start: UInt32(arena.count), length: UInt32(range.count), value: value))
        arena.append(contentsOf: bytes[range])
        if entries.count * 2 > slots.count { grow() }
    }

    mutating func insert(_ key: [UInt8], _ value: UInt64) { insert(key, 0..<key.count, value) }

    mutating func removeAll() {
        for index in slots.indices { slots[index] = -1 }
        entries.removeAll(keepingCapacity: true)
        arena.removeAll(keepingCapacity: true)
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        let mask = slots.count - 1
        for (index, entry) in entries.enumerated() {
            var slot = Int(entry.hash) & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(index)
        }
    }
}

/// A hash table from pairs of ids to the rank of their merge and the id that comes out.
struct MergeTable: Sendable {
    private struct Slot: Sendable {
        var key: UInt64
        var value: UInt64
    }

    static let none = UInt64.max
    private var slots: [Slot]
    private var shift: UInt64
    private(set) var count = 0

    init(minimumCapacity: Int) {
        var bits: UInt64 = 8
        while 1 << bits < minimumCapacity * 2 { bits += 1 }
        shift = 64 - bits
        slots = [Slot](repeating: Slot(key: Self.none, value: Self.none), count: 1 << Int(bits))
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The rank in the high half and the new id in the low half, or `none`.
    @inline(__always)
    func find(_ left: Int32, _ right: Int32) -> UInt64 {
        let key = Self.key(left, right)
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while true {
            let found = slots[slot]
            if found.key == key { return found.value }
            if found.key == Self.none { return Self.none }
            slot = (slot + 1) & mask
        }
    }

    /// Adds a merge; a later one replaces an earlier one of the same pair.
    mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, id: Int32) {
        let key = Self.key(left, right)
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while slots[slot].key != Self.none, slots[slot].key != key { slot = (slot + 1) & mask }
        if slots[slot].key == Self.none { count += 1 }
        slots[slot] = Slot(key: key, value: UInt64(rank) << 32 | UInt64(UInt32(bitPattern: id)))
        if count * 2 > slots.count { grow() }
    }

    private mutating func grow() {
        let old = slots
        shift -= 1
        slots = [Slot](repeating: Slot(key: Self.none, value: Self.none), count: old.count * 2)
        let mask = slots.count - 1
        for entry in old where entry.key != Self.none {
            var slot = Int(truncatingIfNeeded: (entry.key &* 0x9E37_79B9_7F4A_7C15) >> shift)
            while slots[slot].key != Self.none { slot = (slot + 1) & mask }
            slots[slot] = entry
        }
    }
}
