extension Jinja.Renderer {
    /// `json.dumps` with the defaults that transformers gives its filter `tojson`.
    struct JSONWriter {
        var ensureASCII = false
        /// One level's blanks; `nil` writes everything on one line.
        var indent: TracedString?
        var itemSeparator = TracedString(", ")
        var keySeparator = TracedString(": ")
        var sortsKeys = false
    }

    func json(_ value: Value, _ writer: JSONWriter) throws -> TracedString {
        var result = TracedString()
        try json(value, writer, level: 0, into: &result)
        return result
    }

    private func add(_ text: TracedString, to result: inout TracedString) throws {
        try allocate(text.count)
        result.append(text)
    }

    private func json(_ value: Value, _ writer: JSONWriter, level: Int, into result: inout TracedString) throws {
        try enter()
        defer { leave() }
        switch value {
        case .list(let items), .tuple(let items):
            try elements(items.elements.count, "[", "]", writer, level, &result) { index, result in
                try json(items.elements[index], writer, level: level + 1, into: &result)
            }
        case .dictionary(let mapping):
            var pairs = Array(mapping.pairs)
            if writer.sortsKeys { pairs = try sorted(pairs) { try isLess($0.0, $1.0) } }
            try elements(pairs.count, "{", "}", writer, level, &result) { index, result in
                try add(Jinja.jsonQuoted(try key(pairs[index].0), ensureASCII: writer.ensureASCII), to: &result)
                try add(writer.keySeparator, to: &result)
                try json(pairs[index].1, writer, level: level + 1, into: &result)
            }
        case .string(let text): try add(Jinja.jsonQuoted(text, ensureASCII: writer.ensureASCII), to: &result)
        default: try add(try scalar(value), to: &result)
        }
    }

    private func elements(
        _ count: Int, _ open: String, _ close: String, _ writer: JSONWriter, _ level: Int,
        _ result: inout TracedString, _ element: (Int, inout TracedString) throws -> Void
    ) throws {
        func newLine(_ level: Int, _ result: inout TracedString) throws {
            guard let indent = writer.indent else { return }
            try allocate(level, times: indent.count)
            result.append("\n")
            for _ in 0..<level { result.append(indent) }
        }
        result.append(open)
        for index in 0..<count {
            if index > 0 { try add(writer.itemSeparator, to: &result) }
            try newLine(level + 1, &result)
            try element(index, &result)
        }
        if count > 0 { try newLine(level, &result) }
        result.append(close)
    }

    private func scalar(_ value: Value) throws -> TracedString {
        switch value {
        case .none: TracedString("null")
        case .bool(let flag): TracedString(flag ? "true" : "false")
        case .int(let number): TracedString(String(number))
        case .double(let number):
            TracedString(
                number.isFinite
                    ? Jinja.pythonText(number) : number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity")
        default: throw Fault.type("Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private func key(_ value: Value) throws -> TracedString {
        switch value {
        case .string(let text): text
        case .none, .bool, .int, .double: try scalar(value)
        default: throw Fault.type("keys must be str, int, float, bool or None, not \(value.typeName)")
        }
    }
}

extension Jinja {
    static func jsonQuoted(_ text: TracedString, ensureASCII: Bool) -> TracedString {
        func code(_ value: UInt32) -> String {
            let digits = String(value, radix: 16)
            return "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        }
        let inner = text.mapScalars { _, scalar in
            switch scalar.value {
            case 0x22: "\\\""
            case 0x5C: "\\\\"
            case 0x0A: "\\n"
            case 0x0D: "\\r"
            case 0x09: "\\t"
            case 0x0C: "\\f"
            case 0x08: "\\b"
            case ..<0x20: code(scalar.value)
            case 0x7F... where ensureASCII:
                scalar.value == 0x7F ? nil : String(scalar).utf16.map { code(UInt32($0)) }.joined()
            default: nil
            }
        }
        var result = TracedString("\"")
        result.append(inner)
        result.append("\"")
        return result
    }
}
