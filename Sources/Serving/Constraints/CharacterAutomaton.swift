/// A set of Unicode scalars, as ranges that rise and do not touch. Surrogates are no scalars and are in no set.
struct ScalarSet: Sendable, Hashable {
    private(set) var ranges: [ClosedRange<UInt32>]

    static let all = ScalarSet([0...0x10FFFF])

    init(_ ranges: [ClosedRange<UInt32>]) {
        self.ranges = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            for part in Self.withoutSurrogates(range) {
                if let last = self.ranges.last, UInt64(last.upperBound) + 1 >= UInt64(part.lowerBound) {
                    self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, part.upperBound)
                } else {
                    self.ranges.append(part)
                }
            }
        }
    }

    init(_ scalar: Unicode.Scalar) { self.init([scalar.value...scalar.value]) }

    private static func withoutSurrogates(_ range: ClosedRange<UInt32>) -> [ClosedRange<UInt32>] {
        var parts: [ClosedRange<UInt32>] = []
        if range.lowerBound < 0xD800 { parts.append(range.lowerBound...min(range.upperBound, 0xD7FF)) }
        if range.upperBound > 0xDFFF { parts.append(max(range.lowerBound, 0xE000)...range.upperBound) }
        return parts
    }

    var complement: ScalarSet {
        var rest: [ClosedRange<UInt32>] = [], next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { rest.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= 0x10FFFF { rest.append(next...0x10FFFF) }
        return ScalarSet(rest)
    }

    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }
}

/// Why a regular language became no automaton.
enum AutomatonError: Error { case tooLarge }

/// What building automata may cost, counted in places looked at, so that no schema keeps a thread busy for long.
struct AutomatonBudget {
    private(set) var left = 4_000_000

    mutating func spend(_ count: Int) throws(AutomatonError) {
        left -= count
        if left < 0 { throw .tooLarge }
    }
}

/// A non-deterministic automaton over characters, with assertions about the beginning and the end of the text.
struct CharacterNet {
    static let maximumStates = 20_000

    enum Step: Hashable {
        case free
        case start
        case end
        case one(ScalarSet)
    }

    private(set) var edges: [[(step: Step, target: Int)]] = []
    var start = 0
    var accepting: Set<Int> = []

    mutating func state() throws(AutomatonError) -> Int {
        guard edges.count < Self.maximumStates else { throw .tooLarge }
        edges.append([])
        return edges.count - 1
    }

    mutating func connect(_ from: Int, _ step: Step, _ to: Int) { edges[from].append((step, to)) }
}

/// A deterministic automaton over characters. State 0 is the first; from every state an end can be reached.
struct CharacterAutomaton {
    static let maximumStates = 20_000

    struct Edge: Hashable {
        var range: ClosedRange<UInt32>
        var target: Int
    }

    /// By rising ranges, which do not overlap.
    private(set) var edges: [[Edge]] = []
    private(set) var isAccepting: [Bool] = []

    /// - Returns: nil where no text fits.
    init?(_ net: CharacterNet, _ budget: inout AutomatonBudget) throws(AutomatonError) {
        // A place in the net, whether a character was read, and whether none may follow.
        struct Place: Hashable {
            var state: Int
            var hasRead: Bool
            var mustEnd = false
        }
        func closure(_ places: [Place], _ budget: inout AutomatonBudget) throws(AutomatonError) -> Set<Place> {
            var all = Set(places), open = places
            while let place = open.popLast() {
                for (step, target) in net.edges[place.state] {
                    var next = place
                    next.state = target
                    switch step {
                    case .free: break
                    case .start: if place.hasRead { continue }
                    case .end: next.mustEnd = true
                    case .one: continue
                    }
                    if all.insert(next).inserted { open.append(next) }
                }
            }
            try budget.spend(all.count)
            return all
        }
        var numbers: [Set<Place>: Int] = [:], states: [Set<Place>] = []
        func number(_ places: Set<Place>) throws(AutomatonError) -> Int {
            if let known = numbers[places] { return known }
            guard states.count < Self.maximumStates else { throw .tooLarge }
            numbers[places] = states.count
            states.append(places)
            return states.count - 1
        }
        _ = try number(closure([Place(state: net.start, hasRead: false)], &budget))
        var index = 0
        while index < states.count {
            let places = states[index]
            isAccepting.append(places.contains { net.accepting.contains($0.state) })
            var steps: [(range: ClosedRange<UInt32>, target: Int)] = []
            for place in places where !place.mustEnd {
                for case (.one(let set), let target) in net.edges[place.state] {
                    steps += set.ranges.map { ($0, target) }
                }
            }
            var made: [Edge] = []
            let atoms = Self.atoms(steps.map(\.range))
            try budget.spend(atoms.count * steps.count)
            for range in atoms {
                let targets = steps.filter { $0.range.contains(range.lowerBound) }
                    .map { Place(state: $0.target, hasRead: true) }
                let target = try number(closure(targets, &budget))
                if let last = made.last, last.target == target, last.range.upperBound + 1 == range.lowerBound {
                    made[made.count - 1].range = last.range.lowerBound...range.upperBound
                } else {
                    made.append(Edge(range: range, target: target))
                }
            }
            edges.append(made)
            index += 1
        }
        guard trim() else { return nil }
    }

    /// The texts of several automata at once, with so many characters.
    init?(
        all automata: [CharacterAutomaton], minimum: Int, maximum: Int?, _ budget: inout AutomatonBudget
    ) throws(AutomatonError) {
        struct Place: Hashable {
            var states: [Int]
            var count: Int
        }
        var numbers: [Place: Int] = [:], places: [Place] = []
        func number(_ place: Place) throws(AutomatonError) -> Int {
            if let known = numbers[place] { return known }
            guard places.count < Self.maximumStates else { throw .tooLarge }
            numbers[place] = places.count
            places.append(place)
            return places.count - 1
        }
        _ = try number(Place(states: automata.map { _ in 0 }, count: 0))
        var index = 0
        while index < places.count {
            let place = places[index]
            let ends = zip(automata, place.states).allSatisfy { $0.isAccepting[$1] }
            isAccepting.append(ends && place.count >= minimum)
            var made: [Edge] = []
            if place.count < maximum ?? .max {
                let count = maximum == nil ? min(place.count + 1, minimum) : place.count + 1
                let choices = zip(automata, place.states).map { $0.edges[$1] }
                let atoms = Self.atoms(choices.flatMap { $0.map(\.range) })
                try budget.spend(atoms.count * (choices.map(\.count).max() ?? 0) + 1)
                for range in atoms {
                    let targets = choices.compactMap { edges in
                        edges.first { $0.range.contains(range.lowerBound) }?.target
                    }
                    guard targets.count == automata.count else { continue }
                    made.append(Edge(range: range, target: try number(Place(states: targets, count: count))))
                }
            }
            edges.append(made)
            index += 1
        }
        guard trim() else { return nil }
    }

    /// The texts that this one does not take; nil where there are none.
    func complement() -> CharacterAutomaton? {
        var other = self
        let sink = edges.count
        for state in edges.indices {
            for range in ScalarSet(edges[state].map(\.range)).complement.ranges {
                other.edges[state].append(Edge(range: range, target: sink))
            }
            other.edges[state].sort { $0.range.lowerBound < $1.range.lowerBound }
        }
        other.edges.append(ScalarSet.all.ranges.map { Edge(range: $0, target: sink) })
        other.isAccepting = isAccepting.map { !$0 } + [true]
        return other.trim() ? other : nil
    }

    func accepts(_ text: String) -> Bool {
        var state = 0
        for scalar in text.unicodeScalars {
            guard let edge = edges[state].first(where: { $0.range.contains(scalar.value) }) else { return false }
            state = edge.target
        }
        return isAccepting[state]
    }

    /// Removes states from which no end can be reached; false where that is the first.
    private mutating func trim() -> Bool {
        var sources = edges.map { _ in [Int]() }
        for (state, edges) in edges.enumerated() { for edge in edges { sources[edge.target].append(state) } }
        var open = isAccepting.indices.filter { isAccepting[$0] }, lives = isAccepting
        while let state = open.popLast() {
            for source in sources[state] where !lives[source] {
                lives[source] = true
                open.append(source)
            }
        }
        guard lives.first == true else { return false }
        var renumbered = [Int](repeating: 0, count: lives.count), count = 0
        for (state, alive) in lives.enumerated() where alive {
            renumbered[state] = count
            count += 1
        }
        edges = edges.indices.filter { lives[$0] }.map { state in
            edges[state].filter { lives[$0.target] }
                .map { Edge(range: $0.range, target: renumbered[$0.target]) }
        }
        isAccepting = isAccepting.indices.filter { lives[$0] }.map { isAccepting[$0] }
        return true
    }

    /// The ranges cut at each other's ends.
    private static func atoms(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
        let cuts = Set(ranges.flatMap { [$0.lowerBound, $0.upperBound + 1] }).sorted()
        var depth: [UInt32: Int] = [:]
        for range in ranges {
            depth[range.lowerBound, default: 0] += 1
            depth[range.upperBound + 1, default: 0] -= 1
        }
        var result: [ClosedRange<UInt32>] = [], open = 0
        for (low, high) in zip(cuts, cuts.dropFirst()) {
            open += depth[low] ?? 0
            if open > 0 { result.append(low...high - 1) }
        }
        return result
    }
}
