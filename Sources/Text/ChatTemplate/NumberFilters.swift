import Foundation

extension Jinja.Filters {
    typealias Value = Jinja.Value
    typealias Fault = Jinja.Fault
    typealias Arguments = Jinja.Arguments
    typealias Renderer = Jinja.Renderer
    typealias TracedString = Jinja.TracedString

    static let number: [String: Filter] = [
        "abs": { value, _, _ in
            if case .double(let number) = value { return .double(number.magnitude) }
            guard let number = value.wholeNumber else {
                throw Fault.type("bad operand type for abs(): '\(value.typeName)'")
            }
            guard number != .min else { throw Renderer.tooLarge }
            return .int(abs(number))
        },
        "int": { value, arguments, renderer in
            let bound = try arguments.bind("int", ["default", "base"])
            if case .undefined(let undefined) = value { throw undefined.fault }
            let fallback = bound[0] ?? .int(0)
            if let number = value.wholeNumber { return .int(number) }
            if case .string(let text) = value {
                if let number = Jinja.pythonInteger(text, base: try bound.whole(1, default: 10)) { return .int(number) }
                return try Jinja.pythonDouble(text).flatMap(whole) ?? fallback
            }
            return try value.number.flatMap(whole) ?? fallback
        },
        "float": { value, arguments, _ in
            let fallback = try arguments.bind("float", ["default"])[0] ?? .double(0)
            if case .undefined(let undefined) = value { throw undefined.fault }
            if let number = value.number { return .double(number) }
            guard case .string(let text) = value, let number = Jinja.pythonDouble(text) else { return fallback }
            return .double(number)
        },
        "round": { value, arguments, _ in
            let bound = try arguments.bind("round", ["precision", "method"])
            let precision = try bound.whole(0, default: 0)
            let method = try bound.optionalText(1)?.string ?? "common"
            guard ["common", "ceil", "floor"].contains(method) else {
                throw Fault.value("method must be common, ceil or floor")
            }
            guard let number = value.number else {
                throw Fault.type("type \(value.typeName) doesn't define __round__ method")
            }
            guard (-300...300).contains(precision) else { throw Fault.value("too large a precision") }
            if method == "common" {
                if let whole = value.wholeNumber { return .int(try rounded(whole, precision)) }
                return .double(rounded(number, precision))
            }
            let scale = pow(10, Double(precision))
            return .double((number * scale).rounded(method == "ceil" ? .up : .down) / scale)
        },
        "filesizeformat": { value, arguments, _ in
            let bound = try arguments.bind("filesizeformat", ["binary"])
            var size = value.number
            if case .string(let text) = value { size = Jinja.pythonDouble(text) }
            guard let size, size.isFinite else { throw Fault.type("filesizeformat wants a number") }
            let base: Double = bound.flag(0) ? 1024 : 1000
            if size == 1 { return .string("1 Byte") }
            if size < base { return .string("\(Int(clamping: Int64(max(size, -9e18)))) Bytes") }
            let prefixes =
                bound.flag(0)
                ? ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
                : ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
            var unit = base
            for (index, prefix) in prefixes.enumerated() {
                unit *= base
                if size < unit || index == prefixes.count - 1 {
                    return .string(Jinja.FormatSpecification.print("%.*f", 1, base * size / unit) + " " + prefix)
                }
            }
            return .none
        },
    ]

    private static func whole(_ number: Double) throws -> Value? {
        if !number.isFinite { return nil }
        guard let whole = Int(exactly: number.rounded(.towardZero)) else { throw Renderer.tooLarge }
        return .int(whole)
    }

    /// Python's `round` of a whole number: tens and so on, half to even, for negative precisions.
    private static func rounded(_ number: Int, _ precision: Int) throws -> Int {
        if precision >= 0 { return number }
        if precision < -18 { return 0 }
        let unit = (0..<(-precision)).reduce(1) { result, _ in result * 10 }
        let (quotient, rest) = number.quotientAndRemainder(dividingBy: unit)
        let doubled = rest.magnitude * 2
        let up = doubled > UInt(unit) || doubled == UInt(unit) && quotient % 2 != 0
        let (result, overflow) = (quotient + (up ? number.signum() : 0)).multipliedReportingOverflow(by: unit)
        if overflow { throw Renderer.tooLarge }
        return result
    }

    /// Python's `round` of a float: the exact decimal value decides, half to even.
    private static func rounded(_ number: Double, _ precision: Int) -> Double {
        if !number.isFinite { return number }
        if precision >= 0 { return Double(Jinja.FormatSpecification.print("%.*f", precision, number)) ?? number }
        let unit = pow(10, Double(-precision))
        return (number / unit).rounded(.toNearestOrEven) * unit
    }
}

extension Jinja {
    /// Digits with single underscores between them, without those; `nil` for anything else.
    private static func digits(_ text: some StringProtocol) -> String? {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        return parts.contains("") ? nil : parts.joined()
    }

    /// `int(text, base)`; `nil` where Python would refuse or the number is too large.
    static func pythonInteger(_ text: TracedString, base: Int) -> Int? {
        guard base == 0 || (2...36).contains(base) else { return nil }
        var body = text.strip().string.lowercased()[...]
        var sign = ""
        if body.hasPrefix("-") || body.hasPrefix("+") { sign = String(body.removeFirst()) }
        var radix = base
        for (prefix, value) in [("0x", 16), ("0o", 8), ("0b", 2)] where body.hasPrefix(prefix) {
            if base == 0 || base == value {
                radix = value
                body = body.dropFirst(2)
                if body.hasPrefix("_") { body = body.dropFirst() }
            }
        }
        guard let digits = digits(body), digits.first?.isASCII == true, digits.allSatisfy(\.isASCII),
            digits.first != "-", digits.first != "+"
        else { return nil }
        return Int(sign + digits, radix: radix == 0 ? 10 : radix)
    }

    /// `float(text)`.
    static func pythonDouble(_ text: TracedString) -> Double? {
        let body = text.strip().string.lowercased()
        var plain = body[...]
        if plain.hasPrefix("-") || plain.hasPrefix("+") { plain.removeFirst() }
        switch plain {
        case "inf", "infinity": return body.hasPrefix("-") ? -.infinity : .infinity
        case "nan": return .nan
        default: break
        }
        guard let first = plain.first, first.isASCII, first.isNumber || first == ".",
            plain.allSatisfy({ $0.isASCII && ($0.isNumber || ".e+-_".contains($0)) })
        else { return nil }
        // Swift, unlike Python, wants digits on both sides of the point.
        let whole = plain.prefix { $0.isNumber || $0 == "_" }
        var rest = plain.dropFirst(whole.count)
        var literal = ""
        if !whole.isEmpty {
            guard let digits = digits(whole) else { return nil }
            literal = digits
        }
        if rest.hasPrefix(".") {
            rest = rest.dropFirst()
            let fraction = rest.prefix { $0.isNumber || $0 == "_" }
            rest = rest.dropFirst(fraction.count)
            if whole.isEmpty, fraction.isEmpty { return nil }
            guard let digits = fraction.isEmpty ? "0" : digits(fraction) else { return nil }
            literal = (literal.isEmpty ? "0" : literal) + "." + digits
        }
        guard let number = Double(literal + rest) else { return nil }
        return body.hasPrefix("-") ? -number : number
    }
}
