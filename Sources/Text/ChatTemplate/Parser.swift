extension Jinja {
    /// Reads tokens into statements, with the grammar of jinja2's parser. Statements are here; expressions in
    /// `Parser+Expressions`.
    struct Parser {
        private let tokens: [Token]
        private var index = 0
        var depth = 0
        /// Whether an unknown filter or test may wait until it is reached, as jinja2 lets it inside branches.
        var isConditional = false
        /// The special names that the macros being read refer to.
        var specialNames: [Set<String>] = []
        /// How many loops of the current macro stand around this place.
        private var loops = 0

        static func parse(_ template: String) throws -> [Statement] {
            var parser = Parser(tokens: try Lexer.tokens(of: template))
            let (statements, _) = try parser.statements(until: [])
            return statements
        }

        private init(tokens: [Token]) { self.tokens = tokens }

        // MARK: - tokens

        var token: Token { tokens[min(index, tokens.count - 1)] }
        var line: Int { token.line }

        func look(_ offset: Int = 1) -> Token.Kind { tokens[min(index + offset, tokens.count - 1)].kind }

        mutating func advance() { if index < tokens.count - 1 { index += 1 } }

        func isSymbol(_ symbol: String) -> Bool { token.kind == .symbol(symbol) }
        func isName(_ name: String) -> Bool { token.kind == .name(name) }

        mutating func skip(symbol: String) -> Bool {
            guard isSymbol(symbol) else { return false }
            advance()
            return true
        }

        mutating func skip(name: String) -> Bool {
            guard isName(name) else { return false }
            advance()
            return true
        }

        mutating func expect(_ symbol: String) throws {
            guard skip(symbol: symbol) else { throw unexpected("'\(symbol)'") }
        }

        mutating func expectName() throws -> String {
            guard case .name(let name) = token.kind else { throw unexpected("a name") }
            advance()
            return name
        }

        private mutating func expectBlockEnd() throws {
            guard token.kind == .blockEnd else { throw unexpected("the end of the statement") }
            advance()
        }

        func unexpected(_ wanted: String) -> Fault {
            let found: String =
                switch token.kind {
                case .text: "text"
                case .variableBegin: "'{{'"
                case .variableEnd: "'}}'"
                case .blockBegin: "'{%'"
                case .blockEnd: "'%}'"
                case .name(let name): "'\(name)'"
                case .string: "a string"
                case .int, .double: "a number"
                case .symbol(let symbol): "'\(symbol)'"
                case .end: "the end of the template"
                }
            return .syntax("expected \(wanted), found \(found)", line: line)
        }

        /// Runs `body` one level deeper.
        mutating func nested<Result>(_ body: (inout Parser) throws -> Result) throws -> Result {
            depth += 1
            defer { depth -= 1 }
            if depth > maximumSyntaxDepth {
                throw Fault.syntax("nested more than \(maximumSyntaxDepth) deep", line: line)
            }
            return try body(&self)
        }

        // MARK: - statements

        /// The statements up to a tag that starts with one of `ends` (which is consumed up to that word), or, with no
        /// `ends`, up to the end of the template.
        private mutating func statements(until ends: [String]) throws -> ([Statement], end: String) {
            try nested { parser in
                var result: [Statement] = []
                while true {
                    let line = parser.line
                    switch parser.token.kind {
                    case .text(let text):
                        parser.advance()
                        result.append(Statement(line: line, kind: .text(text)))
                    case .variableBegin:
                        parser.advance()
                        let value = try parser.tuple()
                        guard parser.token.kind == .variableEnd else { throw parser.unexpected("'}}'") }
                        parser.advance()
                        result.append(Statement(line: line, kind: .output([value])))
                    case .blockBegin:
                        parser.advance()
                        let name = try parser.expectName()
                        if ends.contains(name) { return (result, name) }
                        result.append(Statement(line: line, kind: try parser.statement(name, line)))
                    case .end:
                        if ends.isEmpty { return (result, "") }
                        throw Fault.syntax(
                            "the template ends where \(ends.map { "'\($0)'" }.joined(separator: " or ")) is missing",
                            line: line)
                    default:
                        throw parser.unexpected("text or a tag")
                    }
                }
            }
        }

        /// The body of a block: from the end of its tag to its end tag.
        private mutating func body(_ ends: String...) throws -> ([Statement], end: String) {
            _ = skip(symbol: ":")
            try expectBlockEnd()
            return try statements(until: ends)
        }

        private mutating func statement(_ name: String, _ line: Int) throws -> Statement.Kind {
            switch name {
            case "if": return try branches()
            case "for": return try loop()
            case "set": return try assignment()
            case "macro": return try macro()
            case "call": return try callBlock()
            case "filter": return try filterBlock()
            case "with": return try with()
            case "generation":
                let (body, _) = try inner { try $0.body("endgeneration") }
                try expectBlockEnd()
                return .generation(body)
            case "block": return try block()
            case "autoescape":
                let flag = try expression()
                let (body, _) = try body("endautoescape")
                try expectBlockEnd()
                return .autoescape(flag, body: body)
            case "print":
                var values: [Expression] = []
                while token.kind != .blockEnd {
                    if !values.isEmpty { try expect(",") }
                    values.append(try expression())
                }
                try expectBlockEnd()
                return .output(values)
            case "break", "continue":
                if loops == 0 { throw Fault.syntax("'\(name)' outside of a loop", line: line) }
                try expectBlockEnd()
                return name == "break" ? .leave : .next
            case "include", "import", "from", "extends":
                throw Fault(.security, "'\(name)': a chat template stands alone and loads no others", line: line)
            default:
                throw Fault.syntax("unknown statement '\(name)'", line: line)
            }
        }

        /// Reads with the state that the body of a function of its own has.
        private mutating func inner<Result>(_ body: (inout Parser) throws -> Result) throws -> Result {
            let outer = (loops, isConditional)
            loops = 0
            isConditional = false
            defer { (loops, isConditional) = outer }
            return try body(&self)
        }

        private mutating func branches() throws -> Statement.Kind {
            var branches: [(test: Expression, body: [Statement])] = []
            let outer = isConditional
            defer { isConditional = outer }
            while true {
                let test = try tuple(conditional: false)
                isConditional = true
                let (statements, end) = try body("elif", "else", "endif")
                branches.append((test, statements))
                switch end {
                case "elif": continue
                case "else":
                    let (otherwise, _) = try body("endif")
                    try expectBlockEnd()
                    return .branches(branches, otherwise: otherwise)
                default:
                    try expectBlockEnd()
                    return .branches(branches, otherwise: [])
                }
            }
        }

        private mutating func loop() throws -> Statement.Kind {
            let target = try target(endingAt: "in")
            guard skip(name: "in") else { throw unexpected("'in'") }
            let sequence = try tuple(conditional: false, endingAt: "recursive")
            let condition = skip(name: "if") ? try expression() : nil
            let isRecursive = skip(name: "recursive")
            let outer = isConditional
            isConditional = false
            defer { isConditional = outer }
            loops += 1
            let (statements, end) = try body("endfor", "else")
            loops -= 1
            var otherwise: [Statement] = []
            if end == "else" { (otherwise, _) = try body("endfor") }
            try expectBlockEnd()
            return .loop(
                Statement.Loop(
                    target: target, sequence: sequence, condition: condition, isRecursive: isRecursive,
                    body: statements, otherwise: otherwise))
        }

        private mutating func assignment() throws -> Statement.Kind {
            let target = try target(withMembers: true)
            if skip(symbol: "=") {
                let value = try tuple()
                try expectBlockEnd()
                return .set(target, value)
            }
            let filters = try filters()
            let (statements, _) = try body("endset")
            try expectBlockEnd()
            return .setBlock(target, filters: filters, body: statements)
        }

        private mutating func filters() throws -> [FilterCall] {
            var result: [FilterCall] = []
            while skip(symbol: "|") { result.append(try filterCall()) }
            return result
        }

        /// Reads a signature and a body, and notes which special names the body uses.
        private mutating func definition(
            _ name: String?, _ end: String, signature: Bool, before: (inout Parser) throws -> Void = { _ in }
        ) throws -> MacroDefinition {
            specialNames.append([])
            let parameters = signature ? try self.parameters() : []
            // What stands between belongs to the place of the call, not to the body.
            let used = specialNames.removeLast()
            try before(&self)
            specialNames.append(used)
            let (statements, _) = try inner { try $0.body(end) }
            try expectBlockEnd()
            let names = specialNames.removeLast()
            if !specialNames.isEmpty { specialNames[specialNames.count - 1].formUnion(names) }
            let own = Set(parameters.map(\.name))
            return MacroDefinition(
                name: name, parameters: parameters, body: statements,
                usesCaller: names.contains("caller") && !own.contains("caller"),
                catchesNamed: names.contains("kwargs") && !own.contains("kwargs"),
                catchesPositional: names.contains("varargs") && !own.contains("varargs"))
        }

        private mutating func parameters() throws -> [(name: String, fallback: Expression?)] {
            var result: [(name: String, fallback: Expression?)] = []
            try expect("(")
            while !isSymbol(")") {
                if !result.isEmpty { try expect(",") }
                let name = try expectName()
                try checkAssignable(name)
                if result.contains(where: { $0.name == name }) {
                    throw Fault.syntax("the parameter '\(name)' stands there twice", line: line)
                }
                let fallback = skip(symbol: "=") ? try expression() : nil
                if fallback == nil, result.last?.fallback != nil {
                    throw Fault.syntax("'\(name)' without a default follows a parameter with one", line: line)
                }
                result.append((name, fallback))
            }
            try expect(")")
            return result
        }

        private mutating func macro() throws -> Statement.Kind {
            let name = try expectName()
            try checkAssignable(name)
            return .macro(try definition(name, "endmacro", signature: true))
        }

        private mutating func callBlock() throws -> Statement.Kind {
            let line = line
            var callee: (Expression, CallArguments)?
            let definition = try definition(nil, "endcall", signature: isSymbol("(")) { parser in
                guard case .postfix(let base, var steps) = try parser.expression(),
                    case .call(let arguments)? = steps.popLast()
                else { throw Fault.syntax("'call' wants a call", line: line) }
                callee = (steps.isEmpty ? base : .postfix(base, steps), arguments)
            }
            guard let callee else { throw Fault.syntax("'call' wants a call", line: line) }
            return .callBlock(definition, callee.0, callee.1)
        }

        private mutating func filterBlock() throws -> Statement.Kind {
            var calls = [try filterCall()]
            calls += try filters()
            let (statements, _) = try body("endfilter")
            try expectBlockEnd()
            return .filterBlock(calls, body: statements)
        }

        private mutating func with() throws -> Statement.Kind {
            var values: [(target: Target, value: Expression)] = []
            while token.kind != .blockEnd {
                if !values.isEmpty { try expect(",") }
                let target = try target()
                try expect("=")
                values.append((target, try expression()))
            }
            let (statements, _) = try body("endwith")
            try expectBlockEnd()
            return .with(values, body: statements)
        }

        private mutating func block() throws -> Statement.Kind {
            let name = try expectName()
            let scoped = skip(name: "scoped")
            _ = skip(name: "required")
            let (statements, _) = try inner { try $0.body("endblock") }
            _ = skip(name: name)
            try expectBlockEnd()
            return .block(scoped: scoped, body: statements)
        }
    }
}
