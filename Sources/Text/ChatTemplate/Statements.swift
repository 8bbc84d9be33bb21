extension Jinja {
    /// How a statement ended.
    enum Flow { case normal, leave, next }
}

extension Jinja.Renderer {
    typealias Value = Jinja.Value
    typealias Scope = Jinja.Scope
    typealias Fault = Jinja.Fault
    typealias Statement = Jinja.Statement
    typealias Expression = Jinja.Expression
    typealias TracedString = Jinja.TracedString
    typealias Arguments = Jinja.Arguments

    func execute(_ statements: [Statement], _ scope: Scope) throws -> Jinja.Flow {
        try enter()
        defer { leave() }
        for statement in statements {
            try work()
            line = statement.line
            let flow = try execute(statement.kind, scope, statement.line)
            if flow != .normal { return flow }
        }
        return .normal
    }

    private func execute(_ statement: Statement.Kind, _ scope: Scope, _ line: Int) throws -> Jinja.Flow {
        switch statement {
        case .text(let text): try write(text)
        case .output(let values):
            for value in values { try write(printed(try evaluate(value, scope))) }
        case .branches(let branches, let otherwise):
            for (test, body) in branches {
                self.line = line
                if try evaluate(test, scope).isTrue { return try execute(body, scope) }
            }
            return otherwise.isEmpty ? .normal : try execute(otherwise, scope)
        case .loop(let loop): try run(loop, scope)
        case .set(let target, let expression): try assign(try evaluate(expression, scope), to: target, scope)
        case .setBlock(let target, let filters, let body):
            try assign(.string(try filteredBlock(body, filters, scope)), to: target, scope)
        case .macro(let definition):
            register(macrosIn: scope)
            scope.variables[definition.name ?? ""] = .object(Jinja.Macro(definition, scope))
        case .callBlock(let definition, let callee, let arguments):
            try callBlock(definition, callee, arguments, scope)
        case .filterBlock(let filters, let body): try write(try filteredBlock(body, filters, scope))
        case .with(let values, let body):
            let inner = Scope(scope)
            for (target, expression) in values { try assign(try evaluate(expression, scope), to: target, inner) }
            return try execute(body, inner)
        case .generation(let body):
            let text = try capture { _ = try execute(body, Scope(scope)) }
            try write(text.markedGenerated())
        case .block(let scoped, let body): _ = try execute(body, Scope(scoped ? scope : top))
        case .autoescape(let flag, let body):
            let outer = autoescapes
            autoescapes = try evaluate(flag, scope).isTrue
            defer { autoescapes = outer }
            return try execute(body, Scope(scope))
        case .leave: return .leave
        case .next: return .next
        }
        return .normal
    }

    private func printed(_ value: Value) throws -> TracedString {
        let text = try string(value)
        return autoescapes && !text.isMarkup ? escaped(text) : text
    }

    private func callBlock(
        _ definition: Jinja.MacroDefinition, _ callee: Expression, _ arguments: Jinja.CallArguments, _ scope: Scope
    ) throws {
        let function = try evaluate(callee, scope)
        var evaluated = try evaluate(arguments, scope)
        evaluated.named.append(("caller", .object(Jinja.Macro(definition, scope))))
        try write(try printed(try call(function, evaluated)))
    }

    private func filteredBlock(
        _ body: [Statement], _ filters: [Jinja.FilterCall], _ scope: Scope
    ) throws -> TracedString {
        let inner = Scope(scope)
        var value = Value.string(try capture { _ = try execute(body, inner) })
        for filter in filters {
            value = try apply(filter.name, to: value, try evaluate(filter.arguments, inner))
        }
        return try string(value)
    }

    // MARK: - assigning

    func assign(_ value: Value, to target: Jinja.Target, _ scope: Scope) throws {
        switch target {
        case .name(let name): scope.variables[name] = value
        case .member(let name, let owner):
            let owner = try lookUp(owner, scope)
            guard case .object(let namespace as Jinja.Namespace) = owner else {
                throw Fault.type("cannot assign attribute '\(name)' on what is not a namespace")
            }
            namespace.set(name, value)
        case .tuple(let targets):
            if case .undefined(let undefined) = value { throw undefined.fault }
            let values = try elements(value)
            guard values.count == targets.count else {
                throw Fault.value("\(values.count) values for \(targets.count) names to unpack")
            }
            for (target, value) in zip(targets, values) { try assign(value, to: target, scope) }
        }
    }

    // MARK: - loops

    private func run(_ loop: Statement.Loop, _ scope: Scope) throws {
        let sequence = try evaluate(loop.sequence, scope)
        try run(loop, over: sequence, scope, level: 0)
    }

    private func run(_ loop: Statement.Loop, over sequence: Value, _ scope: Scope, level: Int) throws {
        let state = Jinja.Loop(
            try filtered(try iterator(sequence), loop, scope), over: sequence.depth, level: level)
        if loop.isRecursive {
            state.recurse = { [unowned self] value, level in
                try enter()
                defer { leave() }
                return try capture { try run(loop, over: value, scope, level: level) }
            }
        }
        // The closure above must not outlive this rendering.
        defer { state.recurse = nil }
        var isEmpty = true
        while let item = try state.advance() {
            isEmpty = false
            try work(4)
            let inner = Scope(scope)
            inner.variables["loop"] = .object(state)
            try assign(item, to: loop.target, inner)
            if try execute(loop.body, inner) == .leave { break }
        }
        if isEmpty, !loop.otherwise.isEmpty { _ = try execute(loop.otherwise, Scope(scope)) }
    }

    /// The items that pass the condition of `loop`, which is asked when an item is wanted.
    private func filtered(
        _ next: @escaping () throws -> Value?, _ loop: Statement.Loop, _ scope: Scope
    ) throws -> () throws -> Value? {
        guard let condition = loop.condition else { return next }
        return { [unowned self] in
            while let item = try next() {
                let inner = Scope(scope)
                try assign(item, to: loop.target, inner)
                if try evaluate(condition, inner).isTrue { return item }
            }
            return nil
        }
    }

    // MARK: - macros

    func call(_ macro: Jinja.Macro, _ arguments: Arguments) throws -> TracedString {
        let definition = macro.definition
        let name = definition.name ?? "caller"
        let scope = Scope(macro.scope)
        var named = arguments.named
        try enter()
        defer { leave() }
        for (index, parameter) in definition.parameters.enumerated() {
            let place = named.firstIndex { $0.name == parameter.name }
            let value: Value
            if index < arguments.positional.count {
                if place != nil { throw Fault.type("macro '\(name)' got two values for '\(parameter.name)'") }
                value = arguments.positional[index]
            } else if let place {
                value = named.remove(at: place).value
            } else if let fallback = parameter.fallback {
                value = try evaluate(fallback, scope)
            } else {
                value = .undefined("parameter '\(parameter.name)' was not provided")
            }
            scope.variables[parameter.name] = value
        }
        if definition.usesCaller {
            let place = named.firstIndex { $0.name == "caller" }
            scope.variables["caller"] = place.map { named.remove(at: $0).value } ?? .undefined("no caller defined")
        }
        if definition.catchesNamed {
            scope.variables["kwargs"] = .dictionary(try Jinja.Mapping(named.map { (.string($0.name), $0.value) }))
        } else if let extra = named.first {
            throw Fault.type("macro '\(name)' takes no keyword argument '\(extra.name)'")
        }
        if definition.catchesPositional {
            scope.variables["varargs"] = try .tuple(
                Array(arguments.positional.dropFirst(definition.parameters.count)))
        } else if arguments.positional.count > definition.parameters.count {
            throw Fault.type("macro '\(name)' takes not more than \(definition.parameters.count) argument(s)")
        }
        let place = line
        let result = try capture { _ = try execute(definition.body, scope) }
        line = place
        return result
    }
}
