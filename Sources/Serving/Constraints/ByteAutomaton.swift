/// A deterministic automaton over bytes. State 0 is the first; from every state an end can be reached.
struct ByteAutomaton: Sendable, Hashable {
    struct Edge: Sendable, Hashable {
        var low: UInt8
        var high: UInt8
        var target: Int
    }

    static let maximumStates = 60_000

    /// By rising bytes, which do not overlap.
    private(set) var edges: [[Edge]] = []
    private(set) var isAccepting: [Bool] = []

    func target(_ state: Int, _ byte: UInt8) -> Int? {
        for edge in edges[state] where byte <= edge.high { return byte >= edge.low ? edge.target : nil }
        return nil
    }

    /// How characters are written.
    enum Writing {
        /// As they are.
        case plain
        /// As a JSON string with its quotes. Each character has one way to be written: escaped where it must be.
        case jsonString
    }

    init(_ automaton: CharacterAutomaton, _ writing: Writing, _ budget: inout AutomatonBudget) throws(AutomatonError) {
        let count = automaton.edges.count
        edges = Array(repeating: [], count: count)
        isAccepting = automaton.isAccepting
        for state in 0..<count {
            var paths: [Path] = []
            for edge in automaton.edges[state] {
                paths += Self.bytes(edge.range, writing).map { Path(bytes: $0, target: edge.target) }
            }
            edges[state] = try expand(paths, &budget)
        }
        guard writing == .jsonString else { return }
        // The quotes: a new last state, and the first state's place for the opening one.
        let quote = UInt8(ascii: "\""), last = try add([])
        for state in 0..<count where isAccepting[state] {
            edges[state].append(Edge(low: quote, high: quote, target: last))
            edges[state].sort { $0.low < $1.low }
            isAccepting[state] = false
        }
        isAccepting[last] = true
        let first = try add(edges[0])
        for state in edges.indices {
            for index in edges[state].indices where edges[state][index].target == 0 {
                edges[state][index].target = first
            }
        }
        edges[0] = [Edge(low: quote, high: quote, target: first)]
    }

    private struct Path: Hashable {
        var bytes: ArraySlice<ClosedRange<UInt8>>
        var target: Int
    }

    private mutating func add(_ made: [Edge]) throws(AutomatonError) -> Int {
        guard edges.count < Self.maximumStates else { throw .tooLarge }
        edges.append(made)
        isAccepting.append(false)
        return edges.count - 1
    }

    /// Edges for paths of several bytes: those that begin alike share states.
    private mutating func expand(
        _ paths: [Path], _ budget: inout AutomatonBudget
    ) throws(AutomatonError) -> [Edge] {
        var cuts: Set<Int> = []
        for path in paths {
            guard let first = path.bytes.first else { continue }
            cuts.insert(Int(first.lowerBound))
            cuts.insert(Int(first.upperBound) + 1)
        }
        var result: [Edge] = [], known: [[Path]: Int] = [:]
        let sorted = cuts.sorted()
        try budget.spend(sorted.count * paths.count)
        for (low, high) in zip(sorted, sorted.dropFirst()) {
            let rest = paths.filter { $0.bytes.first?.contains(UInt8(low)) == true }
                .map { Path(bytes: $0.bytes.dropFirst(), target: $0.target) }
            guard let first = rest.first else { continue }
            let target: Int
            if first.bytes.isEmpty {
                // Characters are told apart by their bytes, so that a whole one has one target.
                target = first.target
            } else if let same = known[rest] {
                target = same
            } else {
                target = try add([])
                known[rest] = target
                edges[target] = try expand(rest, &budget)
            }
            result.append(Edge(low: UInt8(low), high: UInt8(high - 1), target: target))
        }
        return result
    }

    /// The bytes that write the characters of a range.
    private static func bytes(_ range: ClosedRange<UInt32>, _ writing: Writing) -> [ArraySlice<ClosedRange<UInt8>>] {
        guard writing == .jsonString else { return utf8(range) }
        var result: [ArraySlice<ClosedRange<UInt8>>] = [], next = range.lowerBound
        for special in Array(0x00...0x1F) + [0x22, 0x5C, 0x7F] as [UInt32] where range.contains(special) {
            if next < special { result += utf8(next...special - 1) }
            result.append(escape(UInt8(special))[...])
            next = special + 1
        }
        if next <= range.upperBound { result += utf8(next...range.upperBound) }
        return result
    }

    private static func escape(_ character: UInt8) -> [ClosedRange<UInt8>] {
        let short: [UInt8: Character] = [0x22: "\"", 0x5C: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"]
        let digits = Array("0123456789abcdef")
        let text =
            short[character].map { "\\\($0)" }
            ?? "\\u00\(digits[Int(character >> 4)])\(digits[Int(character & 15)])"
        return text.utf8.map { $0...$0 }
    }

    /// UTF-8 of a range of scalars, as sequences of ranges of bytes.
    private static func utf8(_ range: ClosedRange<UInt32>) -> [ArraySlice<ClosedRange<UInt8>>] {
        let (low, high) = (range.lowerBound, range.upperBound)
        for end: UInt32 in [0x7F, 0x7FF, 0xD7FF, 0xFFFF] where low <= end && high > end {
            return utf8(low...end) + utf8(end + 1...high)
        }
        let count = low < 0x80 ? 1 : low < 0x800 ? 2 : low < 0x10000 ? 3 : 4
        for index in 1..<max(count, 2) where count > 1 {
            let mask = UInt32(1) << (6 * UInt32(index)) - 1
            guard low & ~mask != high & ~mask else { continue }
            if low & mask != 0 { return utf8(low...low | mask) + utf8((low | mask) + 1...high) }
            if high & mask != mask { return utf8(low...(high & ~mask) - 1) + utf8(high & ~mask...high) }
        }
        guard let first = Unicode.Scalar(low), let last = Unicode.Scalar(high) else { return [] }
        return [zip(Array(String(first).utf8), Array(String(last).utf8)).map { $0...$1 }[...]]
    }
}
