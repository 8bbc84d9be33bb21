/// The parts of a regular expression.
indirect enum ExpressionNode {
    enum Greed { case greedy, lazy, possessive }

    case set(ScalarSet)
    case sequence([ExpressionNode])
    case alternatives([ExpressionNode])
    case loop(ExpressionNode, minimum: Int, maximum: Int?, Greed)
    case look(ExpressionNode, ahead: Bool, isNegated: Bool)
    case atomic(ExpressionNode)
    case textStart, textEnd, lineStart, lineEnd
    case wordBoundary(isNegated: Bool)

    /// The least and the greatest number of scalars that this takes; `nil` for no greatest.
    var width: (least: Int, greatest: Int?) {
        switch self {
        case .set: return (1, 1)
        case .sequence(let nodes):
            return nodes.reduce((0, 0)) { sum, node in
                let width = node.width
                return (sum.0 + width.least, sum.1.flatMap { a in width.greatest.map { a + $0 } })
            }
        case .alternatives(let nodes):
            let widths = nodes.map(\.width)
            let greatest = widths.reduce(Int?(0)) { most, width in
                most.flatMap { a in width.greatest.map { max(a, $0) } }
            }
            return (widths.map(\.least).min() ?? 0, greatest)
        case .loop(let node, let minimum, let maximum, _):
            let width = node.width
            let least = width.least.multipliedReportingOverflow(by: minimum)
            guard let maximum, let most = width.greatest else {
                return (least.overflow ? .max : least.partialValue, nil)
            }
            let product = most.multipliedReportingOverflow(by: maximum)
            return (least.overflow ? .max : least.partialValue, product.overflow ? nil : product.partialValue)
        case .atomic(let node): return node.width
        case .look, .textStart, .textEnd, .lineStart, .lineEnd, .wordBoundary: return (0, 0)
        }
    }
}

/// Reads regular expressions in the syntax that tokenizer files use (Oniguruma's, without captures' contents).
struct ExpressionParser {
    private let pattern: String
    private let scalars: [Unicode.Scalar]
    private let field: String
    private var index = 0
    private var foldsCase = false
    private var depth = 0
    private static let depthLimit = 64
    static let repeatLimit = 1000

    static func parse(_ pattern: String, field: String) throws(TokenizerError) -> ExpressionNode {
        var parser = ExpressionParser(pattern, field)
        let node = try parser.alternatives()
        if parser.index < parser.scalars.count { throw parser.unsupported }
        return node
    }

    private init(_ pattern: String, _ field: String) {
        self.pattern = pattern
        self.field = field
        scalars = Array(pattern.unicodeScalars)
    }

    private var unsupported: TokenizerError {
        .unsupported(field: field, value: "\(pattern.debugDescription), at character \(index)")
    }

    private var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard scalars[index...].starts(with: wanted) else { return false }
        index += wanted.count
        return true
    }

    private mutating func next() throws(TokenizerError) -> Unicode.Scalar {
        guard let scalar = peek else { throw unsupported }
        index += 1
        return scalar
    }

    private mutating func alternatives() throws(TokenizerError) -> ExpressionNode {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.depthLimit { throw unsupported }
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence() throws(TokenizerError) -> ExpressionNode {
        var nodes: [ExpressionNode] = []
        while let scalar = peek, scalar != "|", scalar != ")" {
            let atom = try atom()
            nodes.append(try repeated(atom))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func repeated(_ node: ExpressionNode) throws(TokenizerError) -> ExpressionNode {
        var result = node
        var nested = 0
        while let scalar = peek {
            var minimum = 0
            var maximum: Int?
            var canBePossessive = true
            switch scalar {
            case "*": index += 1
            case "+":
                index += 1
                minimum = 1
            case "?":
                index += 1
                maximum = 1
            case "{":
                guard let bounds = try counts() else { return result }
                (minimum, maximum) = bounds
                // In Oniguruma {1,3}+ is a loop of a loop.
                canBePossessive = false
            default: return result
            }
            nested += 1
            if nested > 3 { throw unsupported }
            let greed: ExpressionNode.Greed =
                take("?") ? .lazy : canBePossessive && take("+") ? .possessive : .greedy
            result = .loop(result, minimum: minimum, maximum: maximum, greed)
        }
        return result
    }

    /// `{3}`, `{1,}`, `{,3}`, `{1,3}`; `nil` where the brace stands for itself.
    private mutating func counts() throws(TokenizerError) -> (Int, Int?)? {
        guard let close = scalars[index...].firstIndex(of: "}") else { throw unsupported }
        let text = String(String.UnicodeScalarView(scalars[(index + 1)..<close]))
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let least = parts[0].isEmpty ? 0 : Int(parts[0]) ?? -1
        var most: Int? = least
        if parts.count == 2 { most = parts[1].isEmpty ? nil : Int(parts[1]) ?? -1 }
        guard parts.count <= 2, least >= 0, least <= Self.repeatLimit, most ?? least >= least,
            most ?? 0 <= Self.repeatLimit, text != "", text != ","
        else { throw unsupported }
        index = close + 1
        return (least, most)
    }

    private mutating func atom() throws(TokenizerError) -> ExpressionNode {
        let scalar = try next()
        switch scalar {
        case "(": return try group()
        case "[": return .set(try bracket())
        case ".": return .set(ScalarSet([.range(0x0A...0x0A)], isNegated: true))
        case "^": return .lineStart
        case "$": return .lineEnd
        case "\\":
            switch peek {
            case "A":
                index += 1
                return .textStart
            case "z":
                index += 1
                return .textEnd
            case "b":
                index += 1
                return .wordBoundary(isNegated: false)
            case "B":
                index += 1
                return .wordBoundary(isNegated: true)
            default: return .set(ScalarSet([try escape()], foldsCase: foldsCase))
            }
        case "*", "+", "?", "{", ")", "]": throw unsupported
        default: return .set(ScalarSet([.range(scalar.value...scalar.value)], foldsCase: foldsCase))
        }
    }

    private mutating func group() throws(TokenizerError) -> ExpressionNode {
        let outer = foldsCase
        defer { foldsCase = outer }
        var wrap: (ExpressionNode) -> ExpressionNode = { $0 }
        if take("?=") {
            wrap = { .look($0, ahead: true, isNegated: false) }
        } else if take("?!") {
            wrap = { .look($0, ahead: true, isNegated: true) }
        } else if take("?<=") {
            wrap = { .look($0, ahead: false, isNegated: false) }
        } else if take("?<!") {
            wrap = { .look($0, ahead: false, isNegated: true) }
        } else if take("?>") {
            wrap = { .atomic($0) }
        } else if take("?i:") {
            foldsCase = true
        } else if take("?-i:") {
            foldsCase = false
        } else if take("?i)") {
            // Until the end of the group around it.
            foldsCase = true
            let rest = try alternatives()
            return rest
        } else if !take("?:"), peek == "?" {
            throw unsupported
        }
        let node = try alternatives()
        guard take(")") else { throw unsupported }
        if case .look(_, ahead: false, _) = wrap(node), (node.width.greatest ?? .max) > 255 { throw unsupported }
        return wrap(node)
    }

    /// What stands behind a backslash, where it is a set or a single scalar.
    private mutating func escape() throws(TokenizerError) -> ScalarSet.Item {
        let scalar = try next()
        func one(_ value: UInt32) -> ScalarSet.Item { .range(value...value) }
        func not(_ item: ScalarSet.Item) -> ScalarSet.Item { .set(ScalarSet([item], isNegated: true)) }
        switch scalar {
        case "n": return one(0x0A)
        case "r": return one(0x0D)
        case "t": return one(0x09)
        case "f": return one(0x0C)
        case "v": return one(0x0B)
        case "a": return one(0x07)
        case "e": return one(0x1B)
        case "s": return .unicodeClass(UnicodeClass.space)
        case "S": return not(.unicodeClass(UnicodeClass.space))
        case "w": return .word
        case "W": return not(.word)
        case "d", "D":
            guard let digits = ScalarSet.property("Nd") else { throw unsupported }
            return scalar == "d" ? digits : not(digits)
        case "p", "P": return try property(isNegated: scalar == "P")
        case "x", "u": return one(try hexadecimal(scalar))
        default:
            // A letter or digit that is none of the above means something that is not done here.
            if scalar.properties.isAlphabetic || scalar.properties.numericType != nil { throw unsupported }
            return one(scalar.value)
        }
    }

    private mutating func property(isNegated: Bool) throws(TokenizerError) -> ScalarSet.Item {
        var name = ""
        if take("{") {
            while let scalar = peek, scalar != "}" {
                name.unicodeScalars.append(scalar)
                index += 1
            }
            guard take("}") else { throw unsupported }
        } else {
            name.unicodeScalars.append(try next())
        }
        var negated = isNegated
        if name.hasPrefix("^") {
            name.removeFirst()
            negated.toggle()
        }
        guard let item = ScalarSet.property(name) else { throw unsupported }
        return negated ? .set(ScalarSet([item], isNegated: true)) : item
    }

    /// `\xA0`, `\x{1F600}`, `\u00A0`.
    private mutating func hexadecimal(_ kind: Unicode.Scalar) throws(TokenizerError) -> UInt32 {
        var digits = ""
        if kind == "x", take("{") {
            while let scalar = peek, scalar != "}" {
                digits.unicodeScalars.append(scalar)
                index += 1
            }
            guard take("}") else { throw unsupported }
        } else {
            for _ in 0..<(kind == "u" ? 4 : 2) { digits.unicodeScalars.append(try next()) }
        }
        guard let value = UInt32(digits, radix: 16), Unicode.Scalar(value) != nil else { throw unsupported }
        return value
    }

    /// A set behind `[`.
    private mutating func bracket() throws(TokenizerError) -> ScalarSet {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.depthLimit { throw unsupported }
        let isNegated = take("^")
        var items: [ScalarSet.Item] = []
        var isFirst = true
        while isFirst || peek != "]" {
            if scalars[index...].starts(with: "&&".unicodeScalars)
                || scalars[index...].starts(with: "[:".unicodeScalars)
            {
                throw unsupported
            }
            let scalar = try next()
            isFirst = false
            let item: ScalarSet.Item
            switch scalar {
            case "[": item = .set(try bracket())
            case "\\": item = try escape()
            default: item = .range(scalar.value...scalar.value)
            }
            if case .range(let low) = item, peek == "-", index + 1 < scalars.count, scalars[index + 1] != "]" {
                index += 1
                let end = try next()
                let high: ScalarSet.Item =
                    end == "\\" ? try escape() : .range(end.value...end.value)
                guard case .range(let high) = high, low.lowerBound <= high.lowerBound else { throw unsupported }
                items.append(.range(low.lowerBound...high.lowerBound))
            } else {
                items.append(item)
            }
        }
        index += 1
        return ScalarSet(items, isNegated: isNegated, foldsCase: foldsCase)
    }
}
