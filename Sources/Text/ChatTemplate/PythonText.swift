extension Jinja.Renderer {
    // MARK: - str and repr

    /// Python's `str(value)`, which is what `{{ value }}` prints.
    func string(_ value: Value) throws -> TracedString {
        switch value {
        case .string(let text): return text
        case .undefined: return TracedString()
        default: return try representation(value)
        }
    }

    /// Python's `repr(value)`.
    func representation(_ value: Value) throws -> TracedString {
        var result = TracedString()
        try represent(value, into: &result)
        return result
    }

    private func represent(_ value: Value, into result: inout TracedString) throws {
        try work()
        switch value {
        case .undefined: try add("Undefined", to: &result)
        case .none: try add("None", to: &result)
        case .bool(let flag): try add(flag ? "True" : "False", to: &result)
        case .int(let number): try add(String(number), to: &result)
        case .double(let number): try add(Jinja.pythonText(number), to: &result)
        case .string(let text):
            try allocate(text.count + 2)
            let quoted = Jinja.quoted(text)
            result.append(text.isMarkup ? TracedString("Markup(") : TracedString())
            result.append(quoted)
            if text.isMarkup { result.append(")") }
        case .list(let items): try represent(items.elements, "[", "]", into: &result)
        case .tuple(let items):
            try represent(items.elements, "(", items.elements.count == 1 ? ",)" : ")", into: &result)
        case .dictionary(let mapping):
            try enter()
            defer { leave() }
            try represent(Array(mapping.keys), Array(mapping.values), into: &result)
        case .range(let range):
            let step = range.step == 1 ? "" : ", \(range.step)"
            try add("range(\(range.start), \(range.stop)\(step))", to: &result)
        case .view(let view):
            try add("dict_\(view.kind.rawValue)(", to: &result)
            try represent(try view.elements(), "[", "]", into: &result)
            try add(")", to: &result)
        case .generator(let generator): try add("<generator object \(generator.name)>", to: &result)
        case .object(let namespace as Jinja.Namespace):
            try enter()
            defer { leave() }
            try add("<Namespace ", to: &result)
            try represent(
                namespace.names.map { .string($0) }, namespace.names.map { namespace.values[$0] ?? .none },
                into: &result)
            try add(">", to: &result)
        case .object(let object): try add(object.description, to: &result)
        }
    }

    private func add(_ text: String, to result: inout TracedString) throws {
        try allocate(text.utf8.count)
        result.append(text)
    }

    private func represent(
        _ elements: [Value], _ open: String, _ close: String, into result: inout TracedString
    ) throws {
        try enter()
        defer { leave() }
        try add(open, to: &result)
        for (index, element) in elements.enumerated() {
            if index > 0 { try add(", ", to: &result) }
            try represent(element, into: &result)
        }
        try add(close, to: &result)
    }

    private func represent(_ keys: [Value], _ values: [Value], into result: inout TracedString) throws {
        try add("{", to: &result)
        for (index, (key, value)) in zip(keys, values).enumerated() {
            if index > 0 { try add(", ", to: &result) }
            try represent(key, into: &result)
            try add(": ", to: &result)
            try represent(value, into: &result)
        }
        try add("}", to: &result)
    }

    // MARK: - markup

    /// `markupsafe.escape`.
    func escaped(_ text: TracedString) -> TracedString {
        if text.isMarkup { return text }
        var result = text.mapScalars { _, scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "'": "&#39;"
            case "\"": "&#34;"
            default: nil
            }
        }
        result.isMarkup = true
        return result
    }
}

extension Jinja {
    /// `repr` of a string: single quotes, unless it holds those and no double ones.
    static func quoted(_ text: TracedString) -> TracedString {
        let quote: Unicode.Scalar = text.scalars.contains("'") && !text.scalars.contains("\"") ? "\"" : "'"
        let inner = text.mapScalars { _, scalar in
            switch scalar {
            case "\\": return "\\\\"
            case "\n": return "\\n"
            case "\r": return "\\r"
            case "\t": return "\\t"
            case quote: return "\\" + String(quote)
            default: break
            }
            if isPrintable(scalar) { return nil }
            let digits = String(scalar.value, radix: 16)
            let (mark, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
            return "\\" + mark + String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        var result = TracedString(String(quote))
        result.append(inner)
        result.append(String(quote))
        return result
    }

    /// `str.isprintable` for one character.
    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7F }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }

    /// `repr` of a float: the shortest digits that give the number back, in Python's notation.
    static func pythonText(_ number: Double) -> String {
        if number.isNaN { return "nan" }
        if number.isInfinite { return number < 0 ? "-inf" : "inf" }
        let sign = number.sign == .minus ? "-" : ""
        if number == 0 { return sign + "0.0" }
        // Swift prints the shortest digits as well, but changes to exponents elsewhere.
        let parts = number.magnitude.description.lowercased().split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let whole = String(mantissa[0])
        let fraction = mantissa.count > 1 ? String(mantissa[1]) : ""
        var point = whole.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        var digits = Substring(whole + fraction)
        while digits.first == "0" {
            digits = digits.dropFirst()
            point -= 1
        }
        while digits.last == "0" { digits = digits.dropLast() }
        if point > 16 || point < -3 {
            let exponent = point - 1
            let size = String(abs(exponent))
            let rest = digits.dropFirst()
            return sign + digits.prefix(1) + (rest.isEmpty ? "" : "." + rest) + "e" + (exponent < 0 ? "-" : "+")
                + (size.count < 2 ? "0" : "") + size
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if digits.count <= point {
            return sign + digits + String(repeating: "0", count: point - digits.count) + ".0"
        }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }
}
