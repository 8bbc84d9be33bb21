internal import Text

/// A JSON schema that cannot be followed exactly, and where.
public struct SchemaError: Error, Sendable, Hashable, CustomStringConvertible {
    public var path: String
    public var reason: String

    public var description: String { "\(path): \(reason)" }
}

/// Turns JSON schemas into grammars whose texts all fulfil them. What it cannot promise to fulfil is an error.
struct JSONSchemaCompiler {
    static let maximumNodes = 50_000
    private var grammar = Grammar()
    private let document: OrderedJSON
    private var references: [String: Int] = [:]
    private var anyAtDepth: [Int: Int] = [:]
    private lazy var comma = choice([", ", ","])
    private lazy var colon = choice([": ", ":"])

    private init(_ document: OrderedJSON) { self.document = document }

    /// A grammar of texts: a beginning, JSON of the schema, an end; one of several.
    static func grammar(
        _ variants: [(prefix: String, schema: OrderedJSON, suffix: String)]
    ) throws(SchemaError) -> Grammar {
        var whole = Grammar()
        var roots: [Int] = []
        for variant in variants {
            var compiler = JSONSchemaCompiler(variant.schema)
            compiler.grammar = whole
            let value = try compiler.node(variant.schema, "#", depth: 0)
            let parts = [compiler.grammar.literal(variant.prefix), value, compiler.grammar.literal(variant.suffix)]
            roots.append(compiler.grammar.add(.sequence(parts)))
            whole = compiler.grammar
        }
        whole.root = whole.add(.choice(roots))
        guard !whole.endless().contains(whole.root) else {
            throw SchemaError(path: "#", reason: "no finite JSON fulfils it")
        }
        return whole
    }

    /// Any JSON object, down to a depth.
    static func anyObject() -> Grammar {
        var compiler = JSONSchemaCompiler(.object([]))
        compiler.grammar.root = compiler.freeObject(element: compiler.any(depth: 5))
        return compiler.grammar
    }

    private static let annotations: Set<String> = [
        "title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "deprecated",
        "readOnly",
        "writeOnly", "format", "$defs", "definitions", "strict",
    ]

    private mutating func choice(_ texts: [String]) -> Int {
        let parts = texts.map { grammar.literal($0) }
        return grammar.add(.choice(parts))
    }

    private mutating func node(_ schema: OrderedJSON, _ path: String, depth: Int) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard depth <= 64 else { throw fail("is nested more than 64 deep") }
        guard grammar.nodes.count <= Self.maximumNodes else { throw fail("the schema is too large") }
        if schema == .bool(true) { return any(depth: 5) }
        guard case .object(let members) = schema else { throw fail("must be an object") }
        let keys = Set(members.map(\.key)).subtracting(Self.annotations)
        func allow(_ known: Set<String>) throws(SchemaError) {
            if let key = keys.subtracting(known).min() {
                throw fail("'\(key)' cannot be kept to here; leave it out and check the answer yourself")
            }
        }
        if let reference = schema["$ref"] {
            try allow(["$ref"])
            guard case .string(let target) = reference else { throw fail("$ref must be a string") }
            return try resolve(target, path, depth: depth)
        }
        if let constant = schema["const"] {
            try allow(["const", "type"])
            return grammar.literal(constant.compactText)
        }
        if let values = schema["enum"] {
            try allow(["enum", "type"])
            guard case .array(let values) = values, !values.isEmpty, values.count <= 1000 else {
                throw fail("enum must hold 1 to 1000 values")
            }
            return choice(values.map(\.compactText))
        }
        for key in ["anyOf", "allOf"] where schema[key] != nil {
            try allow([key])
            guard case .array(let parts)? = schema[key], !parts.isEmpty, parts.count <= 100 else {
                throw fail("\(key) must hold 1 to 100 schemas")
            }
            guard key == "anyOf" || parts.count == 1 else { throw fail("allOf of several cannot be kept to") }
            var nodes: [Int] = []
            for (index, part) in parts.enumerated() {
                nodes.append(try node(part, "\(path)/\(key)/\(index)", depth: depth + 1))
            }
            return grammar.add(.choice(nodes))
        }
        switch schema["type"] {
        case .string(let type): return try typed(type, schema, path, depth, allow)
        case .array(let types):
            var nodes: [Int] = []
            for type in types {
                guard case .string(let type) = type else { throw fail("type must hold strings") }
                nodes.append(try typed(type, schema, path, depth) { (_: Set<String>) throws(SchemaError) in })
            }
            try allow([
                "type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems",
                "minLength", "maxLength",
            ])
            guard !nodes.isEmpty else { throw fail("type holds nothing") }
            return grammar.add(.choice(nodes))
        case nil where keys.contains("properties"): return try typed("object", schema, path, depth, allow)
        case nil where keys.contains("items"): return try typed("array", schema, path, depth, allow)
        case nil where keys.isEmpty: return any(depth: 5)
        case nil: throw fail("'\(keys.min() ?? "")' cannot be kept to without a type")
        default: throw fail("type must be a string or an array of strings")
        }
    }

    private mutating func typed(
        _ type: String, _ schema: OrderedJSON, _ path: String, _ depth: Int,
        _ allow: (Set<String>) throws(SchemaError) -> Void
    ) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        switch type {
        case "string":
            try allow(["type", "minLength", "maxLength"])
            let (minimum, maximum) = try bounds(schema, "minLength", "maxLength", path)
            return grammar.add(.string(minimum: minimum, maximum: maximum))
        case "integer", "number":
            try allow(["type"])
            return grammar.add(.number(isInteger: type == "integer"))
        case "boolean":
            try allow(["type"])
            return choice(["true", "false"])
        case "null":
            try allow(["type"])
            return grammar.literal("null")
        case "array":
            try allow(["type", "items", "minItems", "maxItems"])
            let (minimum, maximum) = try bounds(schema, "minItems", "maxItems", path)
            let element =
                try schema["items"].map { items throws(SchemaError) in
                    try node(items, "\(path)/items", depth: depth + 1)
                } ?? any(depth: 4)
            let parts = [
                grammar.literal("["),
                grammar.add(.list(element: element, separator: comma, minimum: minimum, maximum: maximum)),
                grammar.literal("]"),
            ]
            return grammar.add(.sequence(parts))
        case "object":
            try allow(["type", "properties", "required", "additionalProperties"])
            return try object(schema, path, depth)
        default: throw fail("type '\(type)' is not known")
        }
    }

    private func bounds(
        _ schema: OrderedJSON, _ low: String, _ high: String, _ path: String
    ) throws(SchemaError) -> (Int, Int?) {
        func number(_ key: String) throws(SchemaError) -> Int? {
            guard let value = schema[key] else { return nil }
            guard case .int(let number) = value, (0...100_000).contains(number) else {
                throw SchemaError(path: path, reason: "\(key) must be a whole number from 0 to 100000")
            }
            return number
        }
        let minimum = try number(low) ?? 0, maximum = try number(high)
        guard minimum <= maximum ?? .max else { throw SchemaError(path: path, reason: "\(low) is above \(high)") }
        return (minimum, maximum)
    }

    /// Properties in the order of the schema; those that are not required may be left out.
    private mutating func object(_ schema: OrderedJSON, _ path: String, _ depth: Int) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        var required: Set<String> = []
        if let list = schema["required"] {
            guard case .array(let names) = list else { throw fail("required must be an array") }
            for name in names {
                guard case .string(let name) = name else { throw fail("required must hold strings") }
                required.insert(name)
            }
        }
        let properties: [OrderedJSON.Member]
        switch schema["properties"] {
        case nil: properties = []
        case .object(let members): properties = members
        default: throw fail("properties must be an object")
        }
        guard properties.count <= 500 else { throw fail("has more than 500 properties") }
        if let name = required.subtracting(properties.map(\.key)).min() {
            throw fail("required names '\(name)', which is none of the properties")
        }
        let additional = schema["additionalProperties"]
        if properties.isEmpty, additional != .bool(false) {
            let element =
                try additional.map { additional throws(SchemaError) in
                    try node(additional, "\(path)/additionalProperties", depth: depth + 1)
                } ?? any(depth: 4)
            return freeObject(element: element)
        }
        // From the last property to the first: what may follow, with and without a property before it.
        let end = grammar.literal("}")
        var first = end, later = end
        for property in properties.reversed() {
            let value = try node(property.value, "\(path)/properties/\(property.key)", depth: depth + 1)
            let key = grammar.literal(OrderedJSON.string(property.key).compactText)
            let alone = grammar.add(.sequence([key, colon, value, later]))
            let behind = grammar.add(.sequence([comma, key, colon, value, later]))
            if required.contains(property.key) {
                (first, later) = (alone, behind)
            } else {
                let (before, after) = (first, later)
                first = grammar.add(.choice([alone, before]))
                later = grammar.add(.choice([behind, after]))
            }
        }
        let start = grammar.literal("{")
        return grammar.add(.sequence([start, first]))
    }

    private mutating func freeObject(element: Int) -> Int {
        let key = grammar.add(.string(minimum: 0, maximum: nil))
        let member = grammar.add(.sequence([key, colon, element]))
        let parts = [
            grammar.literal("{"),
            grammar.add(.list(element: member, separator: comma, minimum: 0, maximum: nil)), grammar.literal("}"),
        ]
        return grammar.add(.sequence(parts))
    }

    /// Any JSON, of arrays and objects so deep.
    private mutating func any(depth: Int) -> Int {
        if let node = anyAtDepth[depth] { return node }
        var parts = [
            grammar.add(.string(minimum: 0, maximum: nil)), grammar.add(.number(isInteger: false)),
            choice(["true", "false", "null"]),
        ]
        if depth > 0 {
            let element = any(depth: depth - 1)
            let list = [
                grammar.literal("["),
                grammar.add(.list(element: element, separator: comma, minimum: 0, maximum: nil)),
                grammar.literal("]"),
            ]
            parts += [grammar.add(.sequence(list)), freeObject(element: element)]
        }
        let node = grammar.add(.choice(parts))
        anyAtDepth[depth] = node
        return node
    }

    private mutating func resolve(_ target: String, _ path: String, depth: Int) throws(SchemaError) -> Int {
        if let node = references[target] { return node }
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard target.hasPrefix("#") else { throw fail("$ref must point into the schema itself (#/$defs/…)") }
        var found = document
        for step in target.dropFirst().split(separator: "/") {
            let name = step.replacing("~1", with: "/").replacing("~0", with: "~")
            guard let next = found[String(name)] else {
                throw fail("$ref points to '\(target.prefix(100))', which is not there")
            }
            found = next
        }
        // The place is known before what stands in it, because it may refer to itself.
        let place = grammar.add(.sequence([]))
        references[target] = place
        let inner = try node(found, target, depth: depth + 1)
        // A schema that is nothing but itself would say nothing.
        grammar.set(place, .sequence([inner]))
        return place
    }
}

extension OrderedJSON {
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
