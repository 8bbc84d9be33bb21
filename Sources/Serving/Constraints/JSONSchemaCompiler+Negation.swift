internal import Text

/// Conditions (`not`, `if`, `dependentSchemas`), rewritten into schemas that say what may come instead.
///
/// What is written for a negation may be less than all that it allows, never more.
extension JSONSchemaCompiler {
    /// Words of our own that no schema is written with: values that are ruled out, and patterns that must not occur.
    static let excluded = "\0excluded", unmatched = "\0unmatched"
    /// Words that `merged` rewrites.
    static let conditions: Set<String> = ["not", "if", "then", "else", "dependentSchemas"]

    /// The schemas that stand for the conditions of a schema.
    func rewrittenConditions(_ schema: OrderedJSON, _ path: String, depth: Int) throws(SchemaError) -> [OrderedJSON] {
        var parts: [OrderedJSON] = []
        if let inner = schema["not"] { parts.append(try negated(inner, "\(path)/not", depth: depth + 1)) }
        if let condition = schema["if"], schema["then"] != nil || schema["else"] != nil {
            let otherwise = try negated(condition, "\(path)/if", depth: depth + 1)
            parts.append(
                .any([
                    .all([condition, schema["then"] ?? .bool(true)]), .all([otherwise, schema["else"] ?? .bool(true)]),
                ]))
        }
        if let dependent = schema["dependentSchemas"] {
            guard case .object(let members) = dependent, members.count <= 20 else {
                throw SchemaError(path: path, reason: "dependentSchemas must be an object of up to 20 schemas")
            }
            for member in members {
                parts.append(.any([.without(member.key), .all([.with([member.key]), member.value])]))
            }
        }
        return parts
    }

    /// What does not fulfil a schema.
    func negated(_ schema: OrderedJSON, _ path: String, depth: Int) throws(SchemaError) -> OrderedJSON {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard depth <= 64 else { throw fail("is nested more than 64 deep, or holds itself") }
        if case .bool(let flag) = schema { return .bool(!flag) }
        guard case .object(let members) = schema else { throw fail("must be an object") }
        var ways: [OrderedJSON] = []
        for member in members where !Self.annotations.contains(member.key) {
            ways += try negated(member, schema, path, depth: depth)
        }
        ways.removeAll { $0 == .bool(false) }
        if ways.contains(.bool(true)) { return .bool(true) }
        guard let first = ways.first else { return .bool(false) }
        return ways.count == 1 ? first : .any(ways)
    }

    /// The ways in which one word is not fulfilled.
    private func negated(
        _ member: OrderedJSON.Member, _ schema: OrderedJSON, _ path: String, depth: Int
    ) throws(SchemaError) -> [OrderedJSON] {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        func each(_ value: OrderedJSON) throws(SchemaError) -> [OrderedJSON] {
            guard case .array(let schemas) = value, !schemas.isEmpty, schemas.count <= 100 else {
                throw fail("\(member.key) must hold 1 to 100 schemas")
            }
            var result: [OrderedJSON] = []
            for schema in schemas { result.append(try negated(schema, path, depth: depth + 1)) }
            return result
        }
        func bound(_ type: String, _ key: String, by step: Int) throws(SchemaError) -> [OrderedJSON] {
            guard let number = member.value.wholeNumber, (0...100_000).contains(number) else {
                throw fail("\(member.key) must be a whole number from 0 to 100000")
            }
            return number + step < 0 ? [] : [.typed(type, key, .int(number + step))]
        }
        switch member.key {
        case "$ref": return [try negated(referenced(schema, path).0, path, depth: depth + 1)]
        case "not": return [member.value]
        case "anyOf": return [.all(try each(member.value))]
        case "allOf": return try each(member.value)
        case "const": return [.object([.init(key: Self.excluded, value: .array([member.value]))])]
        case "enum":
            guard case .array = member.value else { throw fail("enum must hold values") }
            return [.object([.init(key: Self.excluded, value: member.value)])]
        case "type":
            let others = Self.semanticTypes(
                type: .array(["string", "number", "boolean", "null", "array", "object"].map { .string($0) })
            )
            .subtracting(Self.semanticTypes(type: member.value)).subtracting(["integer", "fraction"])
            if others.isEmpty { return [] }
            return [.object([.init(key: "type", value: .array(others.sorted().map { .string($0) }))])]
        case "required":
            guard case .array(let names) = member.value else { throw fail("required must be an array") }
            return names.compactMap(\.string).map { .all([.typed("object"), .without($0)]) }
        case "properties":
            guard case .object(let properties) = member.value else { throw fail("properties must be an object") }
            var ways: [OrderedJSON] = []
            for property in properties {
                let other = try negated(property.value, "\(path)/properties/\(property.key)", depth: depth + 1)
                if other == .bool(false) { continue }
                ways.append(
                    .all([
                        .typed("object", "properties", .object([.init(key: property.key, value: other)])),
                        .with([property.key]),
                    ]))
            }
            return ways
        case "minimum": return [.typed("number", "exclusiveMaximum", member.value)]
        case "exclusiveMinimum": return [.typed("number", "maximum", member.value)]
        case "maximum": return [.typed("number", "exclusiveMinimum", member.value)]
        case "exclusiveMaximum": return [.typed("number", "minimum", member.value)]
        case "minLength": return try bound("string", "maxLength", by: -1)
        case "maxLength": return try bound("string", "minLength", by: 1)
        case "minItems": return try bound("array", "maxItems", by: -1)
        case "maxItems": return try bound("array", "minItems", by: 1)
        case "minProperties": return try bound("object", "maxProperties", by: -1)
        case "maxProperties": return try bound("object", "minProperties", by: 1)
        case "pattern": return [.typed("string", Self.unmatched, .array([member.value]))]
        default: throw fail("'\(member.key)' within not or if cannot be kept to here")
        }
    }
}

extension OrderedJSON {
    static func all(_ schemas: [OrderedJSON]) -> OrderedJSON { .object([.init(key: "allOf", value: .array(schemas))]) }
    static func any(_ schemas: [OrderedJSON]) -> OrderedJSON { .object([.init(key: "anyOf", value: .array(schemas))]) }

    /// Values of a type, with a word about them.
    fileprivate static func typed(_ type: String, _ key: String? = nil, _ value: OrderedJSON = .null) -> OrderedJSON {
        .object([.init(key: "type", value: .string(type))] + (key.map { [.init(key: $0, value: value)] } ?? []))
    }

    /// Objects without a property.
    fileprivate static func without(_ name: String) -> OrderedJSON {
        .object([.init(key: "properties", value: .object([.init(key: name, value: .bool(false))]))])
    }

    /// Objects with these properties.
    fileprivate static func with(_ names: [String]) -> OrderedJSON {
        .object([.init(key: "required", value: .array(names.map { .string($0) }))])
    }
}
