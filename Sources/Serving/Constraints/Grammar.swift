/// A context-free grammar over bytes, in the shapes that JSON needs. Nodes refer to each other by number, so that
/// schemas may refer to themselves.
struct Grammar: Sendable {
    enum Node: Sendable, Hashable {
        case literal([UInt8])
        case sequence([Int])
        case choice([Int])
        /// A JSON string with its quotes; lengths count characters, and nil has no end.
        case string(minimum: Int, maximum: Int?)
        case number(isInteger: Bool)
        /// Texts of the automaton with this number.
        case automaton(Int)
        /// Elements with separators between them; nil has no end.
        case list(element: Int, separator: Int, minimum: Int, maximum: Int?)
    }

    private(set) var nodes: [Node] = []
    private(set) var automata: [ByteAutomaton] = []
    var root = 0

    mutating func add(_ node: Node) -> Int {
        nodes.append(node)
        return nodes.count - 1
    }

    mutating func set(_ index: Int, _ node: Node) { nodes[index] = node }

    mutating func add(_ automaton: ByteAutomaton) -> Int {
        automata.append(automaton)
        return add(.automaton(automata.count - 1))
    }

    mutating func literal(_ text: String) -> Int { add(.literal(Array(text.utf8))) }

    /// The nodes from which no end can be reached, as in an object that must hold itself.
    func endless() -> Set<Int> {
        var ends = Set<Int>(), grows = true
        func hasEnd(_ node: Node) -> Bool {
            switch node {
            case .literal, .string, .number, .automaton: true
            case .sequence(let parts): parts.allSatisfy(ends.contains)
            case .choice(let parts): parts.contains(where: ends.contains)
            case .list(let element, _, let minimum, _): minimum == 0 || ends.contains(element)
            }
        }
        while grows {
            grows = false
            for (index, node) in nodes.enumerated() where !ends.contains(index) && hasEnd(node) {
                ends.insert(index)
                grows = true
            }
        }
        return Set(nodes.indices).subtracting(ends)
    }
}

/// Where texts of a grammar may stand after some bytes: every way of reading them that is still open.
struct GrammarState: Sendable, Hashable {
    /// What one way of reading expects, innermost last.
    enum Frame: Sendable, Hashable {
        case node(Int)
        case literal(Int, offset: Int)
        case sequence(Int, next: Int)
        case list(Int, count: Int)
        case string(Int, StringPhase, count: Int)
        case number(isInteger: Bool, NumberPhase, digits: Int)
        case automaton(Int, state: Int)
    }

    enum StringPhase: Sendable, Hashable {
        case open, body, escape
        case hexadecimal(left: Int, isSurrogate: Bool)
        case character(left: Int, low: UInt8, high: UInt8)
    }

    enum NumberPhase: Sendable, Hashable {
        case start, sign, zero, whole, point, fraction, exponent, exponentSign, exponentDigits

        var isComplete: Bool {
            switch self {
            case .zero, .whole, .fraction, .exponentDigits: true
            default: false
            }
        }
    }

    private(set) var ways: [[Frame]]

    /// The beginning of a grammar's texts.
    init(_ grammar: Grammar) {
        ways = []
        var expansion = Expansion(grammar)
        expansion.add([.node(grammar.root)])
        ways = expansion.ways
    }

    private init(ways: [[Frame]]) { self.ways = ways }

    /// No text goes on like this.
    var isDead: Bool { ways.isEmpty }
    /// What was read is a whole text.
    var isComplete: Bool { ways.contains(where: \.isEmpty) }
    /// It is one, and nothing can follow.
    var isFinished: Bool { isComplete && ways.count == 1 }

    /// The state behind another byte.
    func advanced(_ byte: UInt8, _ grammar: Grammar) -> GrammarState {
        // Inside of a string most bytes change nothing.
        if ways.count == 1, case .string(let node, .body, let count)? = ways[0].last, Self.isPlain(byte),
            case .string(let minimum, nil) = grammar.nodes[node], count >= minimum
        {
            return self
        }
        if let next = advancedInside(byte, grammar) { return next }
        var expansion = Expansion(grammar)
        for way in ways {
            guard let frame = way.last else { continue }
            var rest = way
            rest.removeLast()
            switch frame {
            case .literal(let node, let offset):
                guard case .literal(let bytes) = grammar.nodes[node], bytes[offset] == byte else { continue }
                if offset + 1 < bytes.count { rest.append(.literal(node, offset: offset + 1)) }
                expansion.add(rest)
            case .string(let node, let phase, let count):
                guard case .string(let minimum, let maximum) = grammar.nodes[node] else { continue }
                guard let next = Self.string(phase, count, byte, minimum, maximum) else { continue }
                if let (phase, count) = next { rest.append(.string(node, phase, count: count)) }
                expansion.add(rest)
            case .number(let isInteger, let phase, let digits):
                guard let (next, digits) = Self.number(phase, digits, byte, isInteger) else { continue }
                rest.append(.number(isInteger: isInteger, next, digits: digits))
                expansion.add(rest)
            case .automaton(let number, let state):
                guard let next = grammar.automata[number].target(state, byte) else { continue }
                rest.append(.automaton(number, state: next))
                expansion.add(rest)
            case .node, .sequence, .list: continue
            }
        }
        return GrammarState(ways: expansion.ways)
    }

    /// The state behind a byte that leads from the inside of a string to its inside: most bytes do, and take no more than
    /// a count or the number of a state.
    private func advancedInside(_ byte: UInt8, _ grammar: Grammar) -> GrammarState? {
        guard ways.count == 1, let frame = ways[0].last else { return nil }
        let next: Frame
        switch frame {
        case .string(let node, .body, let count):
            guard Self.isPlain(byte), case .string(let minimum, let maximum) = grammar.nodes[node] else { return nil }
            guard let (phase, more) = Self.string(.body, count, byte, minimum, maximum) ?? nil else { return nil }
            next = .string(node, phase, count: more)
        case .automaton(let number, let state):
            guard let target = grammar.automata[number].target(state, byte),
                !grammar.automata[number].isAccepting[target]
            else { return nil }
            next = .automaton(number, state: target)
        default: return nil
        }
        var way = ways[0]
        way[way.count - 1] = next
        return GrammarState(ways: [way])
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x80 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") && byte != 0x7F
    }

    /// Nil where the byte does not fit; an empty inner value at the end of the string.
    private static func string(
        _ phase: StringPhase, _ count: Int, _ byte: UInt8, _ minimum: Int, _ maximum: Int?
    ) -> (StringPhase, Int)?? {
        // Without an end only whether there are enough characters matters.
        let more = maximum == nil ? min(count + 1, minimum) : count + 1
        switch phase {
        case .open: return byte == UInt8(ascii: "\"") ? .some((.body, 0)) : nil
        case .body:
            if byte == UInt8(ascii: "\"") { return count >= minimum ? .some(nil) : nil }
            if let maximum, count >= maximum { return nil }
            if byte == UInt8(ascii: "\\") { return .some((.escape, more)) }
            if isPlain(byte) { return .some((.body, more)) }
            switch byte {
            case 0xC2...0xDF: return .some((.character(left: 1, low: 0x80, high: 0xBF), more))
            case 0xE0: return .some((.character(left: 2, low: 0xA0, high: 0xBF), more))
            case 0xED: return .some((.character(left: 2, low: 0x80, high: 0x9F), more))
            case 0xE1...0xEF: return .some((.character(left: 2, low: 0x80, high: 0xBF), more))
            case 0xF0: return .some((.character(left: 3, low: 0x90, high: 0xBF), more))
            case 0xF1...0xF3: return .some((.character(left: 3, low: 0x80, high: 0xBF), more))
            case 0xF4: return .some((.character(left: 3, low: 0x80, high: 0x8F), more))
            default: return nil
            }
        case .escape:
            if byte == UInt8(ascii: "u") { return .some((.hexadecimal(left: 4, isSurrogate: false), count)) }
            return "\"\\/bfnrt".utf8.contains(byte) ? .some((.body, count)) : nil
        case .hexadecimal(let left, let isSurrogate):
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { return nil }
            // D800 to DFFF are halves of pairs, not characters.
            if isSurrogate, left == 3, digit >= 8 { return nil }
            if left == 1 { return .some((.body, count)) }
            return .some((.hexadecimal(left: left - 1, isSurrogate: left == 4 && digit == 13), count))
        case .character(let left, let low, let high):
            guard (low...high).contains(byte) else { return nil }
            return .some((left == 1 ? .body : .character(left: left - 1, low: 0x80, high: 0xBF), count))
        }
    }

    /// At most 15 digits before and behind the point: what every reader of JSON holds exactly.
    private static func number(
        _ phase: NumberPhase, _ digits: Int, _ byte: UInt8, _ isInteger: Bool
    ) -> (NumberPhase, Int)? {
        let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        switch phase {
        case .start, .sign:
            if phase == .start, byte == UInt8(ascii: "-") { return (.sign, 0) }
            if byte == UInt8(ascii: "0") { return (.zero, 1) }
            return isDigit ? (.whole, 1) : nil
        case .zero, .whole:
            if phase == .whole, isDigit { return digits < 15 ? (.whole, digits + 1) : nil }
            if isInteger { return nil }
            if byte == UInt8(ascii: ".") { return (.point, 0) }
            return byte | 0x20 == UInt8(ascii: "e") ? (.exponent, 0) : nil
        case .point: return isDigit ? (.fraction, 1) : nil
        case .fraction:
            if isDigit { return digits < 15 ? (.fraction, digits + 1) : nil }
            return byte | 0x20 == UInt8(ascii: "e") ? (.exponent, 0) : nil
        case .exponent:
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { return (.exponentSign, 0) }
            return isDigit ? (.exponentDigits, 1) : nil
        case .exponentSign: return isDigit ? (.exponentDigits, 1) : nil
        case .exponentDigits: return isDigit && digits < 2 ? (.exponentDigits, digits + 1) : nil
        }
    }

    /// Opens what consumes no byte, until every way ends in something that does, or in nothing.
    private struct Expansion {
        static let maximumDepth = 400
        static let maximumWays = 512
        let grammar: Grammar
        var ways: [[Frame]] = []
        private var seen: Set<[Frame]> = []

        init(_ grammar: Grammar) { self.grammar = grammar }

        mutating func add(_ start: [Frame]) {
            var open = [start]
            while var way = open.popLast() {
                guard way.count <= Self.maximumDepth, ways.count < Self.maximumWays, seen.insert(way).inserted else {
                    continue
                }
                guard let frame = way.last else {
                    ways.append(way)
                    continue
                }
                switch frame {
                case .literal, .string: ways.append(way)
                case .number(_, let phase, _):
                    ways.append(way)
                    if phase.isComplete {
                        way.removeLast()
                        open.append(way)
                    }
                case .automaton(let number, let state):
                    if !grammar.automata[number].edges[state].isEmpty { ways.append(way) }
                    if grammar.automata[number].isAccepting[state] {
                        way.removeLast()
                        open.append(way)
                    }
                case .sequence(let node, let next):
                    way.removeLast()
                    guard case .sequence(let parts) = grammar.nodes[node] else { continue }
                    if next + 1 < parts.count { way.append(.sequence(node, next: next + 1)) }
                    if next < parts.count { way.append(.node(parts[next])) }
                    open.append(way)
                case .list(let node, let count): open += list(way, node, count)
                case .node(let node): open += node_(way, node)
                }
            }
        }

        private func list(_ way: [Frame], _ node: Int, _ count: Int) -> [[Frame]] {
            guard case .list(let element, let separator, let minimum, let maximum) = grammar.nodes[node] else {
                return []
            }
            var rest = way
            rest.removeLast()
            var result: [[Frame]] = []
            if count >= minimum { result.append(rest) }
            if let maximum, count >= maximum { return result }
            let next = maximum == nil ? min(count + 1, max(minimum, 1)) : count + 1
            rest.append(.list(node, count: next))
            rest.append(.node(element))
            if count > 0 { rest.append(.node(separator)) }
            result.append(rest)
            return result
        }

        private func node_(_ way: [Frame], _ node: Int) -> [[Frame]] {
            var rest = way
            rest.removeLast()
            switch grammar.nodes[node] {
            case .literal(let bytes): return [bytes.isEmpty ? rest : rest + [.literal(node, offset: 0)]]
            case .sequence(let parts): return [parts.isEmpty ? rest : rest + [.sequence(node, next: 0)]]
            case .choice(let parts): return parts.map { rest + [.node($0)] }
            case .string: return [rest + [.string(node, .open, count: 0)]]
            case .number(let isInteger): return [rest + [.number(isInteger: isInteger, .start, digits: 0)]]
            case .automaton(let number): return [rest + [.automaton(number, state: 0)]]
            case .list: return [rest + [.list(node, count: 0)]]
            }
        }
    }
}
