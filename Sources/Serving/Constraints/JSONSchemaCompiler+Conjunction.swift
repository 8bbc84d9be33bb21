internal import Text

/// Schemas that hold together, and schemas that cannot.
extension JSONSchemaCompiler {
    /// One schema for `allOf`, `$ref` and what stands beside them.
    func merged(_ schema: OrderedJSON, _ path: String, depth: Int) throws(SchemaError) -> OrderedJSON {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard depth <= 64 else { throw fail("is nested more than 64 deep, or holds itself") }
        if schema == .bool(true) { return .object([]) }
        if schema == .bool(false) { return schema }
        guard case .object(let members) = schema else { throw fail("must be an object") }
        var parts: [OrderedJSON] = []
        if schema["$ref"] != nil { parts.append(try merged(referenced(schema, path).0, path, depth: depth + 1)) }
        if let all = schema["allOf"] {
            guard case .array(let schemas) = all, !schemas.isEmpty, schemas.count <= 100 else {
                throw fail("allOf must hold 1 to 100 schemas")
            }
            for part in schemas { parts.append(try merged(part, path, depth: depth + 1)) }
        }
        for part in try rewrittenConditions(schema, path, depth: depth) {
            parts.append(try merged(part, path, depth: depth + 1))
        }
        let own = members.filter {
            $0.key != "$ref" && $0.key != "allOf" && !Self.annotations.contains($0.key)
                && !Self.conditions.contains($0.key)
        }
        var result = OrderedJSON.object([])
        for part in parts + [.object(own)] {
            if part == .bool(false) || result == .bool(false) { return .bool(false) }
            result = try both(part, result, path)
        }
        return result
    }

    /// What holds where both hold.
    private func both(_ a: OrderedJSON, _ b: OrderedJSON, _ path: String) throws(SchemaError) -> OrderedJSON {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard case .object(let given) = a, case .object(var result) = b else { throw fail("must be an object") }
        var first = given
        // What one says of all other properties holds for those that only the other one names.
        let closed = [a, b].map { $0["additionalProperties"] ?? .bool(true) }
        if closed.contains(where: { $0 != .bool(true) }), a["properties"] != b["properties"] {
            guard a["patternProperties"] == nil, b["patternProperties"] == nil else {
                throw fail("additionalProperties together with patternProperties (allOf) cannot be kept to here")
            }
            let names = [a, b].map { Set($0["properties"]?.members.map(\.key) ?? []) }
            func extended(_ members: inout [OrderedJSON.Member], by rule: OrderedJSON, _ missing: Set<String>) {
                if rule == .bool(true) || missing.isEmpty { return }
                let rules = missing.sorted().map { OrderedJSON.Member(key: $0, value: rule) }
                if let index = members.firstIndex(where: { $0.key == "properties" }) {
                    members[index].value = .object(members[index].value.members + rules)
                } else {
                    members.append(.init(key: "properties", value: .object(rules)))
                }
            }
            extended(&first, by: closed[0], names[1].subtracting(names[0]))
            extended(&result, by: closed[1], names[0].subtracting(names[1]))
        }
        for member in first {
            guard let index = result.firstIndex(where: { $0.key == member.key }) else {
                result.append(member)
                continue
            }
            let (one, other) = (member.value, result[index].value)
            if one == other { continue }
            result[index].value = try both(member.key, one, other, fail)
        }
        return .object(result)
    }

    private func both(
        _ key: String, _ one: OrderedJSON, _ other: OrderedJSON, _ fail: (String) -> SchemaError
    ) throws(SchemaError) -> OrderedJSON {
        switch (key, one, other) {
        case ("properties", .object(let a), .object(var b)):
            for member in a {
                if let index = b.firstIndex(where: { $0.key == member.key }) {
                    if b[index].value == member.value { continue }
                    b[index].value = .object([.init(key: "allOf", value: .array([member.value, b[index].value]))])
                } else {
                    b.append(member)
                }
            }
            return .object(b)
        case ("anyOf", .array(let a), .array(let b)):
            guard a.count * b.count <= 100 else { throw fail("so many alternatives together cannot be kept to here") }
            return .array(a.flatMap { one in b.map { .all([one, $0]) } })
        case ("const", _, _):
            if one.isSameValue(other) { return one }
            throw .unfulfillable("#", "two different 'const' (allOf): no value fulfils it")
        case ("uniqueItems", _, _): return .bool(one == .bool(true) || other == .bool(true))
        case (Self.excluded, .array(let a), .array(let b)), (Self.unmatched, .array(let a), .array(let b)):
            return .array(a + b)
        case ("dependentRequired", .object(let a), .object(let b)),
            ("patternProperties", .object(let a), .object(let b)):
            var all = b
            for member in a {
                guard let index = all.firstIndex(where: { $0.key == member.key }) else {
                    all.append(member)
                    continue
                }
                switch (member.value, all[index].value) {
                case (.array(let x), .array(let y)): all[index].value = .array(y + x.filter { !y.contains($0) })
                default: all[index].value = .all([member.value, all[index].value])
                }
            }
            return .object(all)
        case ("required", .array(let a), .array(let b)): return .array(b + a.filter { !b.contains($0) })
        case ("type", _, _):
            let types = Self.semanticTypes(type: one).intersection(Self.semanticTypes(type: other))
            guard !types.isEmpty else { return .array([]) }
            // A whole number is a number.
            let names = types.subtracting(types.contains("fraction") ? ["fraction", "integer"] : ["number"])
            return .array(names.sorted().map { .string($0) })
        case ("enum", .array(let a), .array(let b)):
            return .array(b.filter { value in a.contains { $0.isSameValue(value) } })
        case ("minLength", _, _), ("minItems", _, _), ("minProperties", _, _), ("minimum", _, _),
            ("exclusiveMinimum", _, _):
            return one.double ?? 0 > other.double ?? 0 ? one : other
        case ("maxLength", _, _), ("maxItems", _, _), ("maxProperties", _, _), ("maximum", _, _),
            ("exclusiveMaximum", _, _):
            return one.double ?? 0 < other.double ?? 0 ? one : other
        case ("additionalProperties", .bool(false), _), ("additionalProperties", _, .bool(false)): return .bool(false)
        case ("additionalProperties", .bool(true), _): return other
        case ("additionalProperties", _, .bool(true)): return one
        case ("items", _, _), ("additionalProperties", _, _):
            return .object([.init(key: "allOf", value: .array([one, other]))])
        default: throw fail("two different '\(key)' (allOf) cannot be kept to here")
        }
    }

    /// The types that values of a schema may have. Numbers are `number`, and `integer` or `fraction` with it.
    static func semanticTypes(type: OrderedJSON?) -> Set<String> {
        let names: [String]
        switch type {
        case .string(let name): names = [name]
        case .array(let elements): names = elements.compactMap(\.string)
        default: names = ["string", "number", "boolean", "null", "array", "object"]
        }
        return names.reduce(into: []) { types, name in
            types.insert(name)
            if name == "number" { types.formUnion(["integer", "fraction"]) }
            if name == "integer" { types.insert("number") }
        }
    }

    /// Whether no value fulfils both, as far as types, constants and required properties show it.
    func areDisjoint(_ a: OrderedJSON, _ b: OrderedJSON, depth: Int) -> Bool {
        guard depth <= 8 else { return false }
        guard let a = try? merged(a, "", depth: 0), let b = try? merged(b, "", depth: 0) else { return false }
        if a == .bool(false) || b == .bool(false) { return true }
        for (one, other) in [(a, b), (b, a)] {
            for key in ["anyOf", "oneOf"] {
                guard case .array(let parts)? = one[key] else { continue }
                if parts.allSatisfy({ areDisjoint($0, other, depth: depth + 1) }) { return true }
            }
        }
        let (first, second) = (a.finiteValues, b.finiteValues)
        if let first, let second { return !first.contains { value in second.contains { $0.isSameValue(value) } } }
        for (values, other) in [(first, b), (second, a)] {
            guard let values else { continue }
            let types = Self.semanticTypes(type: other["type"])
            if !values.contains(where: { value in types.contains { value.isOfType($0) } }) { return true }
        }
        let common = Self.semanticTypes(type: a["type"]).intersection(Self.semanticTypes(type: b["type"]))
        if common.isEmpty || common == ["number"] { return true }
        return common == ["object"] && areDisjointObjects(a, b, depth: depth)
    }

    private func areDisjointObjects(_ a: OrderedJSON, _ b: OrderedJSON, depth: Int) -> Bool {
        for (one, other) in [(a, b), (b, a)] {
            guard case .array(let names)? = one["required"] else { continue }
            for name in names.compactMap(\.string) {
                let isDeclared = other["properties"]?[name] != nil
                if !isDeclared, other["additionalProperties"] == .bool(false) { return true }
                guard let mine = one["properties"]?[name], let theirs = other["properties"]?[name],
                    other["required"]?.elements?.contains(.string(name)) == true
                else { continue }
                if areDisjoint(mine, theirs, depth: depth + 1) { return true }
            }
        }
        return false
    }
}

extension OrderedJSON {
    /// The members of an object; none of other values.
    var members: [Member] { if case .object(let members) = self { members } else { [] } }
    var elements: [OrderedJSON]? { if case .array(let elements) = self { elements } else { nil } }

    /// The values that a schema names; nil where it names none.
    var finiteValues: [OrderedJSON]? { self["const"].map { [$0] } ?? self["enum"]?.elements }

    var double: Double? {
        switch self {
        case .int(let number): Double(number)
        case .double(let number): number
        default: nil
        }
    }

    var wholeNumber: Int? {
        switch self {
        case .int(let number): number
        case .double(let number): Int(exactly: number)
        default: nil
        }
    }

    /// Whether two values are the same to a schema: 1 is 1.0, and the order of members does not matter.
    func isSameValue(_ other: OrderedJSON) -> Bool {
        switch (self, other) {
        case (.array(let a), .array(let b)): return a.count == b.count && zip(a, b).allSatisfy { $0.isSameValue($1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count
                && a.allSatisfy { member in
                    b.contains { $0.key == member.key && $0.value.isSameValue(member.value) }
                }
        default:
            if let a = double, let b = other.double { return a == b }
            return self == other
        }
    }

    /// Whether the value is of a schema's type.
    func isOfType(_ type: String) -> Bool {
        switch (self, type) {
        case (.null, "null"), (.bool, "boolean"), (.string, "string"), (.array, "array"), (.object, "object"): true
        case (.int, "number"), (.int, "integer"), (.double, "number"): true
        case (.double(let number), "integer"): number == number.rounded()
        default: false
        }
    }

    /// The value as compact JSON.
    var compactText: String {
        switch self {
        case .null: return "null"
        case .bool(let flag): return flag ? "true" : "false"
        case .int(let number): return "\(number)"
        case .double(let number): return "\(number)"
        case .string(let text):
            var result = "\""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\"": result += "\\\""
                case "\\": result += "\\\\"
                case "\n": result += "\\n"
                case "\r": result += "\\r"
                case "\t": result += "\\t"
                case "\0"..<" ": result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
                default: result.unicodeScalars.append(scalar)
                }
            }
            return result + "\""
        case .array(let elements): return "[" + elements.map(\.compactText).joined(separator: ",") + "]"
        case .object(let members):
            return "{"
                + members.map { OrderedJSON.string($0.key).compactText + ":" + $0.value.compactText }
                .joined(separator: ",") + "}"
        }
    }
}
