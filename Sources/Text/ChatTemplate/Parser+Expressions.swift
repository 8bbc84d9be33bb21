extension Jinja.Parser {
    typealias Expression = Jinja.Expression
    typealias Fault = Jinja.Fault

    // MARK: - targets

    func checkAssignable(_ name: String) throws {
        if ["true", "false", "none", "True", "False", "None"].contains(name) {
            throw Fault.syntax("cannot assign to '\(name)'", line: line)
        }
    }

    /// What an assignment or a loop assigns to.
    mutating func target(withMembers: Bool = false, endingAt end: String? = nil) throws -> Jinja.Target {
        try nested { parser in
            var parts: [Jinja.Target] = []
            var isTuple = false
            while true {
                if case .name(let name) = parser.token.kind, name == end { break }
                if parser.isSymbol(")") || parser.isSymbol("=") || parser.token.kind == .blockEnd { break }
                if parser.skip(symbol: "(") {
                    parts.append(try parser.target(withMembers: withMembers))
                    try parser.expect(")")
                } else {
                    let name = try parser.expectName()
                    try parser.checkAssignable(name)
                    if withMembers, parser.skip(symbol: ".") {
                        parts.append(.member(try parser.expectName(), of: name))
                    } else {
                        parts.append(.name(name))
                    }
                }
                guard parser.skip(symbol: ",") else { break }
                isTuple = true
            }
            guard let first = parts.first else { throw parser.unexpected("a name to assign to") }
            return isTuple ? .tuple(parts) : first
        }
    }

    // MARK: - operators, loosest first

    /// One expression, or several with commas between them, which make a tuple.
    mutating func tuple(
        conditional: Bool = true, endingAt end: String? = nil, inParentheses: Bool = false
    ) throws -> Expression {
        var parts: [Expression] = []
        var isTuple = false
        while !isTupleEnd(end) {
            parts.append(conditional ? try expression() : try nested { try $0.or() })
            guard skip(symbol: ",") else { break }
            isTuple = true
        }
        if !isTuple, let only = parts.first { return only }
        if !isTuple, !inParentheses { throw unexpected("an expression") }
        return .tuple(parts)
    }

    private func isTupleEnd(_ end: String?) -> Bool {
        switch token.kind {
        case .variableEnd, .blockEnd, .symbol(")"): true
        case .name(let name): name == end
        default: false
        }
    }

    mutating func expression() throws -> Expression {
        try nested { parser in
            var result = try parser.or()
            var count = 0
            while parser.isName("if") {
                // Each of these wraps the one before it.
                count += 1
                if parser.depth + count > Jinja.maximumSyntaxDepth {
                    throw Fault.syntax("too many conditions in a row", line: parser.line)
                }
                parser.advance()
                let outer = parser.isConditional
                parser.isConditional = true
                defer { parser.isConditional = outer }
                let test = try parser.or()
                let otherwise = parser.skip(name: "else") ? try parser.expression() : nil
                result = .conditional(test, then: result, else: otherwise)
            }
            return result
        }
    }

    mutating func or() throws -> Expression {
        var parts = [try and()]
        while skip(name: "or") { parts.append(try and()) }
        return parts.count == 1 ? parts[0] : .any(parts)
    }

    private mutating func and() throws -> Expression {
        var parts = [try not()]
        while skip(name: "and") { parts.append(try not()) }
        return parts.count == 1 ? parts[0] : .all(parts)
    }

    private mutating func not() throws -> Expression {
        guard skip(name: "not") else { return try comparison() }
        return .not(try nested { try $0.not() })
    }

    private mutating func comparison() throws -> Expression {
        let first = try sum()
        var rest: [Expression.Operand<Jinja.ComparisonOperator>] = []
        while let found = comparisonOperator() {
            advance()
            if found == .notContained { advance() }
            rest.append(.init(operator: found, expression: try sum()))
        }
        return rest.isEmpty ? first : .comparison(first, rest)
    }

    private func comparisonOperator() -> Jinja.ComparisonOperator? {
        switch token.kind {
        case .symbol(let symbol): Jinja.ComparisonOperator(rawValue: symbol)
        case .name("in"): .contained
        case .name("not"): look() == .name("in") ? .notContained : nil
        default: nil
        }
    }

    private mutating func arithmetic(
        _ operators: [Jinja.ArithmeticOperator], _ operand: (inout Self) throws -> Expression
    ) throws -> Expression {
        let first = try operand(&self)
        var rest: [Expression.Operand<Jinja.ArithmeticOperator>] = []
        while case .symbol(let symbol) = token.kind, let found = Jinja.ArithmeticOperator(rawValue: symbol),
            operators.contains(found)
        {
            advance()
            rest.append(.init(operator: found, expression: try operand(&self)))
        }
        return rest.isEmpty ? first : .arithmetic(first, rest)
    }

    private mutating func sum() throws -> Expression {
        try arithmetic([.add, .subtract]) { try $0.concatenation() }
    }

    private mutating func concatenation() throws -> Expression {
        var parts = [try product()]
        while skip(symbol: "~") { parts.append(try product()) }
        return parts.count == 1 ? parts[0] : .concatenation(parts)
    }

    private mutating func product() throws -> Expression {
        try arithmetic([.multiply, .divide, .floorDivide, .remainder]) { try $0.power() }
    }

    private mutating func power() throws -> Expression {
        try arithmetic([.power]) { try $0.unary() }
    }

    private mutating func unary(withFilters: Bool = true) throws -> Expression {
        try nested { parser in
            var result: Expression
            if parser.skip(symbol: "-") {
                result = .negative(try parser.unary(withFilters: false))
            } else if parser.skip(symbol: "+") {
                result = .positive(try parser.unary(withFilters: false))
            } else {
                result = try parser.primary()
            }
            result = try parser.postfixed(result)
            return withFilters ? try parser.filtered(result) : result
        }
    }

    // MARK: - primaries

    private mutating func primary() throws -> Expression {
        let kind = token.kind
        switch kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .constant(.bool(true))
            case "false", "False": return .constant(.bool(false))
            case "none", "None": return .constant(.none)
            case "caller", "kwargs", "varargs":
                if !specialNames.isEmpty { specialNames[specialNames.count - 1].insert(name) }
                return .name(name)
            default: return .name(name)
            }
        case .string(var text):
            advance()
            while case .string(let more) = token.kind {
                text.append(more)
                advance()
            }
            return .constant(.string(text))
        case .int(let number):
            advance()
            return .constant(.int(number))
        case .double(let number):
            advance()
            return .constant(.double(number))
        case .symbol("("):
            advance()
            let result = try tuple(inParentheses: true)
            try expect(")")
            return result
        case .symbol("["):
            advance()
            var elements: [Expression] = []
            while !isSymbol("]") {
                if !elements.isEmpty { try expect(",") }
                if isSymbol("]") { break }
                elements.append(try expression())
            }
            try expect("]")
            return .list(elements)
        case .symbol("{"):
            advance()
            var pairs: [Expression.Pair] = []
            while !isSymbol("}") {
                if !pairs.isEmpty { try expect(",") }
                if isSymbol("}") { break }
                let key = try expression()
                try expect(":")
                pairs.append(.init(key: key, value: try expression()))
            }
            try expect("}")
            return .dictionary(pairs)
        default:
            throw unexpected("an expression")
        }
    }

    // MARK: - what follows a primary

    private func extended(_ base: Expression, _ steps: [Jinja.Postfix]) -> Expression {
        if steps.isEmpty { return base }
        if case .postfix(let inner, let earlier) = base { return .postfix(inner, earlier + steps) }
        return .postfix(base, steps)
    }

    private mutating func postfixed(_ base: Expression) throws -> Expression {
        var steps: [Jinja.Postfix] = []
        while true {
            if skip(symbol: ".") {
                switch token.kind {
                case .name(let name): steps.append(.attribute(name, Jinja.TracedString(name)))
                case .int(let number): steps.append(.item(.constant(.int(number))))
                default: throw unexpected("a name or number after '.'")
                }
                advance()
            } else if skip(symbol: "[") {
                steps.append(try subscription())
            } else if isSymbol("(") {
                steps.append(.call(try callArguments()))
            } else {
                return extended(base, steps)
            }
        }
    }

    private mutating func subscription() throws -> Jinja.Postfix {
        var parts: [Expression] = []
        var slice: Jinja.Postfix?
        repeat {
            if slice != nil { throw Fault.syntax("a slice cannot be part of a longer index", line: line) }
            var start: Expression?
            if !isSymbol(":") {
                let part = try expression()
                if !isSymbol(":") {
                    parts.append(part)
                    continue
                }
                start = part
            }
            advance()
            var stop: Expression?
            var step: Expression?
            if !isSymbol(":"), !isSymbol("]"), !isSymbol(",") { stop = try expression() }
            if skip(symbol: ":"), !isSymbol("]"), !isSymbol(",") { step = try expression() }
            slice = .slice(start, stop, step)
        } while skip(symbol: ",")
        try expect("]")
        if let slice {
            if !parts.isEmpty { throw Fault.syntax("a slice cannot be part of a longer index", line: line) }
            return slice
        }
        return .item(parts.count == 1 ? parts[0] : .tuple(parts))
    }

    /// Filters, tests and the calls between them.
    private mutating func filtered(_ base: Expression) throws -> Expression {
        var steps: [Jinja.Postfix] = []
        while true {
            if skip(symbol: "|") {
                steps.append(.filter(try filterCall()))
            } else if isName("is") {
                advance()
                steps.append(try test())
            } else if isSymbol("(") {
                steps.append(.call(try callArguments()))
            } else {
                return extended(base, steps)
            }
        }
    }

    private mutating func dottedName() throws -> String {
        var name = try expectName()
        while skip(symbol: ".") { name += "." + (try expectName()) }
        return name
    }

    /// A filter's name and arguments, behind its `|`.
    mutating func filterCall() throws -> Jinja.FilterCall {
        let line = line
        let name = try dottedName()
        if !isConditional, Jinja.Filters.table[name] == nil {
            throw Fault.syntax("there is no filter named '\(name)'", line: line)
        }
        return Jinja.FilterCall(name: name, arguments: isSymbol("(") ? try callArguments() : .init())
    }

    /// A test, behind its `is`.
    private mutating func test() throws -> Jinja.Postfix {
        let negated = skip(name: "not")
        let line = line
        let name = try dottedName()
        if !isConditional, Jinja.Tests.table[name] == nil {
            throw Fault.syntax("there is no test named '\(name)'", line: line)
        }
        var arguments = Jinja.CallArguments()
        switch token.kind {
        case .symbol("("): arguments = try callArguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw Fault.syntax("tests cannot be chained with 'is'", line: line)
        case .name, .string, .int, .double, .symbol("["), .symbol("{"):
            let argument = try nested { parser in
                let primary = try parser.primary()
                return try parser.postfixed(primary)
            }
            arguments.positional = [argument]
        default: break
        }
        return .test(name, arguments, negated: negated)
    }

    mutating func callArguments() throws -> Jinja.CallArguments {
        var result = Jinja.CallArguments()
        try expect("(")
        var isFirst = true
        while !isSymbol(")") {
            if !isFirst {
                try expect(",")
                if isSymbol(")") { break }
            }
            isFirst = false
            if isSymbol("*"), result.unpacked == nil, result.unpackedNamed == nil {
                advance()
                result.unpacked = try expression()
            } else if isSymbol("**"), result.unpackedNamed == nil {
                advance()
                result.unpackedNamed = try expression()
            } else if case .name(let name) = token.kind, look() == .symbol("="), result.unpackedNamed == nil {
                advance()
                advance()
                if result.named.contains(where: { $0.name == name }) {
                    throw Fault.syntax("the argument '\(name)' is given twice", line: line)
                }
                result.named.append((name, try expression()))
            } else if result.unpacked == nil, result.unpackedNamed == nil, result.named.isEmpty {
                result.positional.append(try expression())
            } else {
                throw Fault.syntax("invalid syntax for a call", line: line)
            }
        }
        try expect(")")
        return result
    }
}
