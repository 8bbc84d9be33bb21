/// A regular expression of JSON schemas (ECMA-262), as far as it describes a regular language: no back references and no
/// looking around.
struct RegularExpression {
    indirect enum Expression {
        case empty
        case start
        case end
        case one(ScalarSet)
        case sequence([Expression])
        case choice([Expression])
        case repeated(Expression, minimum: Int, maximum: Int?)
    }

    /// What cannot be followed, in words.
    struct Failure: Error { var reason: String }

    let expression: Expression

    init(_ text: String) throws(Failure) {
        guard text.utf8.count <= 4096 else { throw Failure(reason: "the pattern has more than 4096 bytes") }
        var parser = Parser(text)
        expression = try parser.choice(depth: 0)
        guard parser.isAtEnd else { throw Failure(reason: "the pattern has a ) too many") }
    }

    /// The texts in which the expression occurs somewhere, as JSON schemas mean it; nil for none.
    func automaton(_ budget: inout AutomatonBudget) throws(Failure) -> CharacterAutomaton? {
        do throws(AutomatonError) {
            var net = CharacterNet()
            let anything = Expression.repeated(.one(.all), minimum: 0, maximum: nil)
            let (first, last) = try Self.add(.sequence([anything, expression, anything]), to: &net)
            net.start = first
            net.accepting = [last]
            return try CharacterAutomaton(net, &budget)
        } catch { throw Failure(reason: "the pattern is too large") }
    }

    /// The states before and behind an expression.
    private static func add(
        _ expression: Expression, to net: inout CharacterNet
    ) throws(AutomatonError) -> (first: Int, last: Int) {
        let first = try net.state()
        switch expression {
        case .empty: return (first, first)
        case .start, .end, .one:
            let last = try net.state()
            let step: CharacterNet.Step =
                switch expression {
                case .start: .start
                case .end: .end
                case .one(let set): .one(set)
                default: .free
                }
            net.connect(first, step, last)
            return (first, last)
        case .sequence(let parts):
            var last = first
            for part in parts {
                let (start, end) = try add(part, to: &net)
                net.connect(last, .free, start)
                last = end
            }
            return (first, last)
        case .choice(let parts):
            let last = try net.state()
            for part in parts {
                let (start, end) = try add(part, to: &net)
                net.connect(first, .free, start)
                net.connect(end, .free, last)
            }
            return (first, last)
        case .repeated(let part, let minimum, let maximum):
            var last = first
            for _ in 0..<minimum {
                let (start, end) = try add(part, to: &net)
                net.connect(last, .free, start)
                last = end
            }
            guard let maximum else {
                let place = try net.state()
                let (start, end) = try add(part, to: &net)
                net.connect(last, .free, place)
                net.connect(place, .free, start)
                net.connect(end, .free, place)
                return (first, place)
            }
            let behind = try net.state()
            net.connect(last, .free, behind)
            for _ in minimum..<maximum {
                let (start, end) = try add(part, to: &net)
                net.connect(last, .free, start)
                net.connect(end, .free, behind)
                last = end
            }
            return (first, behind)
        }
    }
}

/// Reads a pattern.
private struct Parser {
    typealias Expression = RegularExpression.Expression
    typealias Failure = RegularExpression.Failure

    private let scalars: [Unicode.Scalar]
    private var index = 0

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    var isAtEnd: Bool { index == scalars.count }
    private var next: Unicode.Scalar? { isAtEnd ? nil : scalars[index] }

    private mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        index += 1
        return true
    }

    private mutating func skip(_ text: String) -> Bool {
        guard scalars[index...].starts(with: text.unicodeScalars) else { return false }
        index += text.unicodeScalars.count
        return true
    }

    mutating func choice(depth: Int) throws(Failure) -> Expression {
        guard depth <= 64 else { throw Failure(reason: "the pattern is nested more than 64 deep") }
        var parts = [try sequence(depth)]
        while skip("|") { parts.append(try sequence(depth)) }
        return parts.count == 1 ? parts[0] : .choice(parts)
    }

    private mutating func sequence(_ depth: Int) throws(Failure) -> Expression {
        var parts: [Expression] = []
        while let scalar = next, scalar != "|", scalar != ")" { parts.append(try repeated(depth)) }
        return parts.isEmpty ? .empty : .sequence(parts)
    }

    private mutating func repeated(_ depth: Int) throws(Failure) -> Expression {
        let part = try atom(depth),
            isAssertion = if case .start = part { true } else if case .end = part { true } else { false }
        guard let (minimum, maximum) = try quantifier() else { return part }
        guard !isAssertion else { throw Failure(reason: "the pattern repeats ^ or $") }
        // Whether as few or as many as possible are taken first changes no text.
        _ = skip("?")
        if try quantifier() != nil { throw Failure(reason: "the pattern repeats a repetition") }
        return .repeated(part, minimum: minimum, maximum: maximum)
    }

    private mutating func quantifier() throws(Failure) -> (Int, Int?)? {
        if skip("*") { return (0, nil) }
        if skip("+") { return (1, nil) }
        if skip("?") { return (0, 1) }
        guard next == "{" else { return nil }
        let place = index
        index += 1
        guard let minimum = number() else {
            // A brace that counts nothing is a brace.
            index = place
            return nil
        }
        var maximum: Int? = minimum
        if skip(",") { maximum = number() }
        guard skip("}") else {
            index = place
            return nil
        }
        guard minimum <= maximum ?? .max else { throw Failure(reason: "the pattern repeats from more to fewer") }
        guard max(minimum, maximum ?? 0) <= 1000 else {
            throw Failure(reason: "the pattern repeats more than 1000 times")
        }
        return (minimum, maximum)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let scalar = next, ("0"..."9").contains(scalar), value ?? 0 < 1_000_000 {
            value = (value ?? 0) * 10 + Int(scalar.value - 48)
            index += 1
        }
        return value
    }

    private mutating func atom(_ depth: Int) throws(Failure) -> Expression {
        let scalar = scalars[index]
        index += 1
        switch scalar {
        case "^": return .start
        case "$": return .end
        case ".": return .one(Self.lineEnds.complement)
        case "[": return .one(try set())
        case "(":
            if skip("?") {
                guard skip(":") || name() else {
                    throw Failure(reason: "the pattern looks around, which cannot be kept to here")
                }
            }
            let inner = try choice(depth: depth + 1)
            guard skip(")") else { throw Failure(reason: "the pattern has a ( too many") }
            return inner
        case "*", "+", "?": throw Failure(reason: "the pattern repeats nothing")
        case "\\":
            guard let scalar = next else { throw Failure(reason: "the pattern ends with a backslash") }
            guard scalar != "b", scalar != "B" else {
                throw Failure(reason: "\\\(scalar) in the pattern cannot be kept to here")
            }
            return .one(try escape())
        default: return .one(ScalarSet(scalar))
        }
    }

    /// `<name>`, as in named groups.
    private mutating func name() -> Bool {
        guard next == "<", index + 1 < scalars.count, scalars[index + 1] != "=", scalars[index + 1] != "!",
            let end = scalars[index...].firstIndex(of: ">")
        else { return false }
        index = end + 1
        return true
    }

    /// What stands behind a backslash. Beyond ASCII, readers differ about what is a digit, a letter or a space: classes hold
    /// what all of them agree on.
    private mutating func escape() throws(Failure) -> ScalarSet {
        let scalar = scalars[index]
        index += 1
        switch scalar {
        case "d": return Self.digits
        case "D": return Self.digits.asciiComplement
        case "w": return Self.letters
        case "W": return Self.letters.asciiComplement
        case "s": return Self.spaces
        case "S": return Self.spaces.asciiComplement
        case "n": return ScalarSet("\n")
        case "r": return ScalarSet("\r")
        case "t": return ScalarSet("\t")
        case "f": return ScalarSet("\u{C}")
        case "v": return ScalarSet("\u{B}")
        case "0" where !("0"..."9").contains(next ?? " "): return ScalarSet("\0")
        case "x": return try hexadecimal(2)
        case "u":
            guard skip("{") else { return try hexadecimal(4) }
            let end = scalars[index...].firstIndex(of: "}") ?? index
            let set = try hexadecimal(end - index)
            index += 1
            return set
        case "0"..."9", "k": throw Failure(reason: "the pattern refers back, which cannot be kept to here")
        case "a"..."z", "A"..."Z": throw Failure(reason: "\\\(scalar) in the pattern cannot be kept to here")
        default: return ScalarSet(scalar)
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(Failure) -> ScalarSet {
        let digits = scalars[index...].prefix(count).map(Character.init)
        guard (1...6).contains(count), digits.count == count, digits.allSatisfy({ $0.isASCII && $0.isHexDigit }),
            let value = UInt32(String(digits), radix: 16), let scalar = Unicode.Scalar(value)
        else { throw Failure(reason: "the pattern has an escape that names no character") }
        index += count
        return ScalarSet(scalar)
    }

    private mutating func set() throws(Failure) -> ScalarSet {
        let isInverted = skip("^")
        var set = ScalarSet([])
        while true {
            guard next != nil else { throw Failure(reason: "the pattern has a [ too many") }
            if skip("]") { break }
            let low = try member()
            guard next == "-", index + 1 < scalars.count, scalars[index + 1] != "]" else {
                set = set.union(low)
                continue
            }
            index += 1
            let high = try member()
            guard let start = low.single, let end = high.single else {
                throw Failure(reason: "the pattern has a range of classes")
            }
            guard start <= end else { throw Failure(reason: "the pattern has a range that falls") }
            set = set.union(ScalarSet([start...end]))
        }
        return isInverted ? set.complement : set
    }

    private mutating func member() throws(Failure) -> ScalarSet {
        guard let scalar = next else { throw Failure(reason: "the pattern has a [ too many") }
        index += 1
        guard scalar == "\\" else { return ScalarSet(scalar) }
        guard let escaped = next else { throw Failure(reason: "the pattern ends with a backslash") }
        if escaped == "b" {
            index += 1
            return ScalarSet("\u{8}")
        }
        return try escape()
    }

    private static let digits = ScalarSet([48...57])
    private static let letters = ScalarSet([48...57, 65...90, 95...95, 97...122])
    private static let spaces = ScalarSet([9...13, 32...32])
    private static let lineEnds = ScalarSet([10...10, 13...13, 0x2028...0x2029])
}

extension ScalarSet {
    /// The other characters of ASCII.
    fileprivate var asciiComplement: ScalarSet { ScalarSet(ranges + [0x80...0x10FFFF]).complement }

    /// The only scalar; nil where there are more or none.
    fileprivate var single: UInt32? {
        guard ranges.count == 1, ranges[0].count == 1 else { return nil }
        return ranges[0].lowerBound
    }
}

/// Formats of strings that answers are held to. Each pattern gives texts of the format, if not all of them. Other names
/// of formats say something to people only, as JSON schema has it.
enum StringFormat {
    private static let date =
        "(?:[12]\\d{3}-(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|[12]\\d{3}-(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)"
        + "|[12]\\d{3}-02-(?:0[1-9]|1\\d|2[0-8])|[12]\\d(?:0[48]|[2468][048]|[13579][26])-02-29"
        + "|(?:1[26]|2[048])00-02-29)"
    private static let time =
        "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
    private static let label = "[a-z0-9]{1,20}(?:-[a-z0-9]{1,20})?"
    private static let byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"

    static let patterns: [String: String] = [
        "date": date, "time": time, "date-time": "\(date)T\(time)",
        "duration":
            "P(?:\\d{1,4}W|\\d{1,4}D(?:T\\d{1,4}H)?|T\\d{1,4}[HMS]|T\\d{1,4}H\\d{1,4}M|\\d{1,4}Y(?:\\d{1,4}M(?:\\d{1,4}D)?)?)",
        "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "email":
            "[A-Za-z0-9]{1,16}(?:[._+-][A-Za-z0-9]{1,16}){0,3}@(?:\(label)\\.){1,3}[a-z]{2,12}",
        "hostname": "\(label)(?:\\.\(label)){0,4}", "ipv4": "(?:\(byte)\\.){3}\(byte)",
        "ipv6": "(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}",
        "uri": "https?://(?:\(label)\\.){1,3}[a-z]{2,12}(?:/[A-Za-z0-9_~.-]*)*",
    ]
}
