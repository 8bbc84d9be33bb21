extension Jinja.Renderer {
    func evaluate(_ expression: Expression, _ scope: Scope) throws -> Value {
        switch expression {
        case .constant(let constant):
            try work()
            return switch constant {
            case .none: .none
            case .bool(let flag): .bool(flag)
            case .int(let number): .int(number)
            case .double(let number): .double(number)
            case .string(let text): .string(text)
            }
        case .name(let name):
            try work()
            return try lookUp(name, scope)
        default:
            try enter()
            defer { leave() }
            return try evaluateCompound(expression, scope)
        }
    }

    private func evaluateCompound(_ expression: Expression, _ scope: Scope) throws -> Value {
        switch expression {
        case .constant, .name: return try evaluate(expression, scope)
        case .list(let parts): return try list(try parts.map { try evaluate($0, scope) })
        case .tuple(let parts):
            try allocate(parts.count, times: 8)
            return try .tuple(try parts.map { try evaluate($0, scope) })
        case .dictionary(let pairs): return try dictionary(pairs, scope)
        case .postfix(let base, let steps):
            var value = try evaluate(base, scope)
            for step in steps {
                try work()
                value = try apply(step, to: value, scope)
            }
            return value
        case .arithmetic(let first, let rest):
            var value = try evaluate(first, scope)
            for operand in rest {
                value = try arithmetic(operand.operator, value, try evaluate(operand.expression, scope))
            }
            return value
        case .concatenation(let parts):
            var result = TracedString()
            for part in parts {
                let text = try string(try evaluate(part, scope))
                try allocate(text.count)
                result.append(text)
            }
            return .string(result)
        case .comparison(let first, let rest):
            var left = try evaluate(first, scope)
            for operand in rest {
                let right = try evaluate(operand.expression, scope)
                if try !compare(operand.operator, left, right) { return .bool(false) }
                left = right
            }
            return .bool(true)
        case .all(let parts), .any(let parts):
            let stop = if case .any = expression { true } else { false }
            var value = Value.none
            for part in parts {
                value = try evaluate(part, scope)
                if value.isTrue == stop { break }
            }
            return value
        case .not(let inner): return .bool(try !evaluate(inner, scope).isTrue)
        case .negative(let inner), .positive(let inner):
            let negates = if case .negative = expression { true } else { false }
            return try signed(try evaluate(inner, scope), negates: negates)
        case .conditional(let test, let then, let otherwise):
            if try evaluate(test, scope).isTrue { return try evaluate(then, scope) }
            if let otherwise { return try evaluate(otherwise, scope) }
            return .undefined("an inline if without else, whose condition was false")
        }
    }

    private func dictionary(_ pairs: [Expression.Pair], _ scope: Scope) throws -> Value {
        try allocate(pairs.count, times: 32)
        return .dictionary(
            try Jinja.Mapping(
                try pairs.map { (try evaluate($0.key, scope), try evaluate($0.value, scope)) }))
    }

    func lookUp(_ name: String, _ scope: Scope) throws -> Value {
        if let value = scope.find(name) { return value }
        if let function = Jinja.globals[name] { return .object(try Jinja.Function(name, function)) }
        return .undefined("'\(name)' is undefined")
    }

    private func apply(_ step: Jinja.Postfix, to value: Value, _ scope: Scope) throws -> Value {
        switch step {
        case .attribute(let name, let text): return try attribute(name, text, of: value)
        case .item(let expression): return try item(try evaluate(expression, scope), of: value)
        case .slice(let start, let stop, let step):
            return try slice(
                value, try start.map { try evaluate($0, scope) }, try stop.map { try evaluate($0, scope) },
                try step.map { try evaluate($0, scope) })
        case .call(let arguments): return try call(value, try evaluate(arguments, scope))
        case .filter(let filter): return try apply(filter.name, to: value, try evaluate(filter.arguments, scope))
        case .test(let name, let arguments, let negated):
            return .bool(try test(name, value, try evaluate(arguments, scope)) != negated)
        }
    }

    func evaluate(_ arguments: Jinja.CallArguments, _ scope: Scope) throws -> Arguments {
        var result = Arguments()
        for expression in arguments.positional { result.positional.append(try evaluate(expression, scope)) }
        for (name, expression) in arguments.named { result.named.append((name, try evaluate(expression, scope))) }
        if let expression = arguments.unpacked {
            result.positional += try elements(try evaluate(expression, scope))
        }
        if let expression = arguments.unpackedNamed {
            guard case .dictionary(let mapping) = try evaluate(expression, scope) else {
                throw Fault.type("what stands behind ** must be a dict")
            }
            for (key, value) in mapping.pairs {
                guard case .string(let name) = key else { throw Fault.type("keywords must be strings") }
                try work(name.count)
                result.named.append((name.string, value))
            }
        }
        return result
    }

    func call(_ value: Value, _ arguments: Arguments) throws -> Value {
        switch value {
        case .object(let object):
            try enter()
            defer { leave() }
            return try object.call(arguments, self)
        case .undefined(let undefined): throw undefined.fault
        default: throw Fault.type("'\(value.typeName)' object is not callable")
        }
    }

    func apply(_ filter: String, to value: Value, _ arguments: Arguments) throws -> Value {
        guard let function = Jinja.Filters.table[filter] else {
            throw Fault(.syntax, "there is no filter named '\(filter)'", line: line)
        }
        if Jinja.Filters.plain.contains(filter) { _ = try arguments.bind(filter, []) }
        return try function(value, arguments, self)
    }

    func test(_ name: String, _ value: Value, _ arguments: Arguments) throws -> Bool {
        guard let function = Jinja.Tests.table[name] else {
            throw Fault(.syntax, "there is no test named '\(name)'", line: line)
        }
        if Jinja.Tests.plain.contains(name) { _ = try arguments.bind(name, []) }
        return try function(value, arguments, self)
    }

    // MARK: - attributes and items

    /// `value.name`: a method or attribute first, then an item.
    func attribute(_ name: String, _ text: TracedString, of value: Value) throws -> Value {
        if case .undefined(let undefined) = value { throw undefined.fault }
        if let found = try Jinja.member(name, of: value, self) { return found }
        if case .dictionary(let mapping) = value, let found = mapping[text] { return found }
        return try missing(name, of: value)
    }

    /// `value[index]`: an item first, then a method or attribute.
    func item(_ index: Value, of value: Value) throws -> Value {
        func element(_ count: Int) -> Int? {
            guard let number = index.wholeNumber else { return nil }
            let place = number < 0 ? number + count : number
            return place >= 0 && place < count ? place : nil
        }
        switch value {
        case .undefined(let undefined): throw undefined.fault
        case .dictionary(let mapping):
            if let key = try? Jinja.Key(index), let found = mapping[key] { return found }
        case .list(let items), .tuple(let items):
            if let place = element(items.elements.count) { return items.elements[place] }
        case .string(let text):
            if let place = element(text.count) { return .string(text.slice(place..<place + 1)) }
        case .range(let range):
            if let place = element(range.count) { return .int(range.element(place)) }
        default: break
        }
        guard case .string(let name) = index else {
            return .undefined("\(Self.describe(value)) has no element \(try representation(index).string)")
        }
        try work(name.count)
        if let found = try Jinja.member(name.string, of: value, self) { return found }
        return try missing(name.string, of: value)
    }

    private static func describe(_ value: Value) -> String {
        value.isNone ? "'None'" : "'\(value.typeName) object'"
    }

    private func missing(_ name: String, of value: Value) throws -> Value {
        // jinja2 prints these as nothing and refuses their use; nothing good can come of them, so refuse at once.
        if name.hasPrefix("__"), name.hasSuffix("__"), name.count > 4 {
            throw Fault.security("access to attribute '\(name)' of '\(value.typeName)' object is unsafe")
        }
        return .undefined("\(Self.describe(value)) has no attribute '\(name)'")
    }

    // MARK: - slices

    func slice(_ value: Value, _ start: Value?, _ stop: Value?, _ step: Value?) throws -> Value {
        if case .undefined(let undefined) = value { throw undefined.fault }
        func bound(_ value: Value?) throws -> Int? {
            guard let value, !value.isNone else { return nil }
            if case .undefined = value { throw Fault.type("slice indices must be integers or None") }
            guard let number = value.wholeNumber else { throw Fault.type("slice indices must be integers or None") }
            return number
        }
        let count: Int
        switch value {
        case .string(let text): count = text.count
        case .list(let items), .tuple(let items): count = items.elements.count
        case .range(let range): count = range.count
        default: throw Fault.type("\(Self.describe(value)) cannot be sliced")
        }
        let (low, high, stride) = (try bound(start), try bound(stop), try bound(step))
        // A longer step than the sequence takes one element either way, and cannot overflow.
        let step = min(max(stride ?? 1, -count - 1), count + 1)
        if step == 0 { throw Fault.value("slice step cannot be zero") }
        func clamp(_ index: Int?, _ fallback: Int) -> Int {
            guard let index else { return fallback }
            let (lowest, highest) = step > 0 ? (0, count) : (-1, count - 1)
            let place = index < 0 ? index.addingReportingOverflow(count).partialValue : index
            return min(max(place, lowest), highest)
        }
        let first = clamp(low, step > 0 ? 0 : count - 1)
        let end = clamp(high, step > 0 ? count : -1)
        let indices = Array(Swift.stride(from: first, to: end, by: step))
        try allocate(indices.count)
        switch value {
        case .string(let text):
            if step == 1 { return .string(text.slice(first..<max(first, end))) }
            return .string(text.gather(indices))
        case .list(let items): return try list(indices.map { items.elements[$0] })
        case .tuple(let items): return try .tuple(indices.map { items.elements[$0] })
        case .range(let range):
            let stride = range.step.multipliedReportingOverflow(by: step)
            if stride.overflow { throw Self.tooLarge }
            return .range(
                Jinja.NumberRange(
                    start: range.element(first), stop: range.element(end), step: stride.partialValue,
                    count: indices.count))
        default: return value
        }
    }
}
