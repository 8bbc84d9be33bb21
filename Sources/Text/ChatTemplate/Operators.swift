import Foundation

extension Jinja.Renderer {
    // MARK: - equality and order

    /// Python's `==`.
    func equals(_ left: Value, _ right: Value) throws -> Bool {
        try work()
        switch (left, right) {
        case (.string(let one), .string(let other)):
            if one.count != other.count { return false }
            try work(one.count / 16)
            return one == other
        case (.undefined, .undefined), (.none, .none): return true
        case (.list(let one), .list(let other)), (.tuple(let one), .tuple(let other)):
            if one === other { return true }
            if one.elements.count != other.elements.count { return false }
            try enter()
            defer { leave() }
            for (a, b) in zip(one.elements, other.elements) where try !equals(a, b) { return false }
            return true
        case (.dictionary(let one), .dictionary(let other)):
            if one === other { return true }
            if one.count != other.count { return false }
            try enter()
            defer { leave() }
            for (key, value) in one.pairs {
                guard let partner = other[try Jinja.Key(key)], try equals(value, partner) else { return false }
            }
            return true
        case (.range(let one), .range(let other)):
            return one.count == other.count
                && (one.count == 0 || one.start == other.start && (one.count == 1 || one.step == other.step))
        case (.object(let one), .object(let other)): return one === other
        case (.generator(let one), .generator(let other)): return one === other
        case (.double(let one), .double(let other)): return one == other
        case (.double(let number), _):
            guard let whole = right.wholeNumber else { return false }
            return Int(exactly: number) == whole
        case (_, .double(let number)):
            guard let whole = left.wholeNumber else { return false }
            return Int(exactly: number) == whole
        default:
            guard let one = left.wholeNumber, let other = right.wholeNumber else { return false }
            return one == other
        }
    }

    /// Python's `<`; `symbol` is for the message.
    func isLess(_ left: Value, _ right: Value, _ symbol: String = "<") throws -> Bool {
        try work()
        if case .undefined(let undefined) = left { throw undefined.fault }
        if case .undefined(let undefined) = right { throw undefined.fault }
        switch (left, right) {
        case (.string(let one), .string(let other)):
            try work(min(one.count, other.count) / 16)
            return one.scalars.lexicographicallyPrecedes(other.scalars)
        case (.list(let one), .list(let other)), (.tuple(let one), .tuple(let other)):
            try enter()
            defer { leave() }
            for (a, b) in zip(one.elements, other.elements) where try !equals(a, b) {
                return try isLess(a, b, symbol)
            }
            return one.elements.count < other.elements.count
        default:
            if let one = left.wholeNumber, let other = right.wholeNumber { return one < other }
            if let one = left.number, let other = right.number { return one < other }
            throw Fault.type(
                "'\(symbol)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
        }
    }

    func compare(_ comparison: Jinja.ComparisonOperator, _ left: Value, _ right: Value) throws -> Bool {
        let isNotANumber = left.number?.isNaN ?? false || right.number?.isNaN ?? false
        switch comparison {
        case .equal: return try equals(left, right)
        case .notEqual: return try !equals(left, right)
        case .less: return try isLess(left, right)
        case .greater: return try isLess(right, left, ">")
        case .lessOrEqual:
            let isGreater = try isLess(right, left, "<=")
            return !isGreater && !isNotANumber
        case .greaterOrEqual:
            let isSmaller = try isLess(left, right, ">=")
            return !isSmaller && !isNotANumber
        case .contained: return try contains(right, left)
        case .notContained: return try !contains(right, left)
        }
    }

    /// Python's `item in container`.
    func contains(_ container: Value, _ item: Value) throws -> Bool {
        switch container {
        case .string(let text):
            guard case .string(let part) = item else {
                throw Fault.type("'in <string>' requires string as left operand, not \(item.typeName)")
            }
            try work(text.count / 8)
            return text.contains(part)
        case .dictionary(let mapping): return mapping[try Jinja.Key(item)] != nil
        case .view(let view) where view.kind == .keys: return view.mapping[try Jinja.Key(item)] != nil
        case .range(let range):
            guard let number = item.number, let whole = Int(exactly: number), range.count > 0 else { return false }
            let last = range.element(range.count - 1)
            let (low, high) = (min(range.start, last), max(range.start, last))
            return whole >= low && whole <= high
                && (range.step.magnitude == 1 || (whole &- range.start) % range.step == 0)
        case .none, .bool, .int, .double: throw Fault.type("argument of type '\(container.typeName)' is not iterable")
        default:
            let next = try iterator(container)
            while let element = try next() {
                if try equals(element, item) { return true }
            }
            return false
        }
    }

    // MARK: - arithmetic

    func signed(_ value: Value, negates: Bool) throws -> Value {
        if case .undefined(let undefined) = value { throw undefined.fault }
        if case .double(let number) = value { return .double(negates ? -number : number) }
        guard let number = value.wholeNumber else {
            throw Fault.type("bad operand type for unary \(negates ? "-" : "+"): '\(value.typeName)'")
        }
        if number == .min, negates { throw Self.tooLarge }
        return .int(negates ? -number : number)
    }

    static var tooLarge: Fault { .value("the result is too large a number") }

    func arithmetic(_ operation: Jinja.ArithmeticOperator, _ left: Value, _ right: Value) throws -> Value {
        if case .undefined(let undefined) = left { throw undefined.fault }
        switch (operation, left, right) {
        case (.remainder, .string(let format), _): return try text(try percentFormat(format, right))
        case (_, _, .undefined(let undefined)): throw undefined.fault
        case (.add, .string(var one), .string(var other)):
            try allocate(one.count + other.count)
            if one.isMarkup != other.isMarkup {
                if one.isMarkup { other = escaped(other) } else { one = escaped(one) }
            }
            one.append(other)
            return .string(one)
        case (.add, .list(let one), .list(let other)): return try list(one.elements + other.elements)
        case (.add, .tuple(let one), .tuple(let other)):
            try allocate(one.elements.count + other.elements.count, times: 8)
            return try .tuple(one.elements + other.elements)
        case (.multiply, .string, _), (.multiply, .list, _), (.multiply, .tuple, _):
            if let count = right.wholeNumber { return try repeated(left, count) }
        case (.multiply, _, .string), (.multiply, _, .list), (.multiply, _, .tuple):
            if let count = left.wholeNumber { return try repeated(right, count) }
        default:
            if let one = left.wholeNumber, let other = right.wholeNumber { return try whole(operation, one, other) }
            if let one = left.number, let other = right.number { return .double(try real(operation, one, other)) }
        }
        throw Fault.type(
            "unsupported operand type(s) for \(operation.rawValue): '\(left.typeName)' and '\(right.typeName)'")
    }

    private func repeated(_ value: Value, _ count: Int) throws -> Value {
        let count = max(0, count)
        switch value {
        case .string(let text):
            try allocate(count, times: max(1, text.count))
            var result = TracedString()
            if text.isEmpty { return .string(result) }
            for _ in 0..<count { result.append(text) }
            return .string(result)
        case .list(let items), .tuple(let items):
            try allocate(count, times: 8 * max(1, items.elements.count))
            var elements: [Value] = []
            if !items.elements.isEmpty { for _ in 0..<count { elements += items.elements } }
            if case .tuple = value { return try .tuple(elements) }
            return try .list(elements)
        default: return value
        }
    }

    private static var divisionByZero: Fault { .value("division by zero") }

    private func whole(_ operation: Jinja.ArithmeticOperator, _ left: Int, _ right: Int) throws -> Value {
        func checked(_ result: (partialValue: Int, overflow: Bool)) throws -> Value {
            if result.overflow { throw Self.tooLarge }
            return .int(result.partialValue)
        }
        switch operation {
        case .add: return try checked(left.addingReportingOverflow(right))
        case .subtract: return try checked(left.subtractingReportingOverflow(right))
        case .multiply: return try checked(left.multipliedReportingOverflow(by: right))
        case .divide:
            if right == 0 { throw Self.divisionByZero }
            return .double(Double(left) / Double(right))
        case .floorDivide, .remainder:
            if right == 0 { throw Self.divisionByZero }
            if right == -1 {
                return operation == .remainder ? .int(0) : try checked((0).subtractingReportingOverflow(left))
            }
            let (quotient, rest) = left.quotientAndRemainder(dividingBy: right)
            let isLower = rest != 0 && (rest < 0) != (right < 0)
            return .int(operation == .remainder ? (isLower ? rest + right : rest) : (isLower ? quotient - 1 : quotient))
        case .power:
            if right < 0 { return .double(try real(.power, Double(left), Double(right))) }
            var (result, base, exponent) = (1, left, right)
            while exponent > 0 {
                if exponent & 1 == 1 {
                    let product = result.multipliedReportingOverflow(by: base)
                    if product.overflow { throw Self.tooLarge }
                    result = product.partialValue
                }
                exponent >>= 1
                if exponent > 0 {
                    let square = base.multipliedReportingOverflow(by: base)
                    if square.overflow { throw Self.tooLarge }
                    base = square.partialValue
                }
            }
            return .int(result)
        }
    }

    private func real(_ operation: Jinja.ArithmeticOperator, _ left: Double, _ right: Double) throws -> Double {
        switch operation {
        case .add: return left + right
        case .subtract: return left - right
        case .multiply: return left * right
        case .divide:
            if right == 0 { throw Self.divisionByZero }
            return left / right
        case .floorDivide, .remainder:
            if right == 0 { throw Self.divisionByZero }
            // As CPython's float_divmod.
            var rest = fmod(left, right)
            var quotient = (left - rest) / right
            if rest != 0 {
                if (right < 0) != (rest < 0) {
                    rest += right
                    quotient -= 1
                }
            } else {
                rest = right.sign == .minus ? -0.0 : 0.0
            }
            if operation == .remainder { return rest }
            if quotient == 0 { return left / right < 0 || (left / right).sign == .minus ? -0.0 : 0.0 }
            let floored = quotient.rounded(.down)
            return quotient - floored > 0.5 ? floored + 1 : floored
        case .power:
            if left == 0, right < 0 { throw Self.divisionByZero }
            let result = pow(left, right)
            if result.isNaN, !left.isNaN, !right.isNaN { throw Fault.value("the power is not a real number") }
            if result.isInfinite, left.isFinite, right.isFinite { throw Self.tooLarge }
            return result
        }
    }
}
