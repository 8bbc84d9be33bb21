internal import Text

/// A JSON schema that cannot be followed exactly, and where.
public struct SchemaError: Error, Sendable, Hashable, CustomStringConvertible {
    public var path: String
    public var reason: String
    /// Whether the schema is understood, and no value fulfils it.
    var isUnfulfillable = false

    init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }

    static func unfulfillable(_ path: String, _ reason: String) -> SchemaError {
        var error = SchemaError(path: path, reason: reason)
        error.isUnfulfillable = true
        return error
    }

    public var description: String { "\(path): \(reason)" }
}

/// Turns JSON schemas into grammars whose texts all fulfil them. What it cannot promise to fulfil is an error.
struct JSONSchemaCompiler {
    static let maximumNodes = 50_000
    var grammar = Grammar()
    var budget = AutomatonBudget()
    let document: OrderedJSON
    private var references: [String: Int] = [:]
    private var anyAtDepth: [Int: Int] = [:]
    lazy var comma = choice([", ", ","])
    lazy var colon = choice([": ", ":"])

    private init(_ document: OrderedJSON) { self.document = document }

    /// A grammar of texts: a beginning, JSON of the schema, an end; one of several.
    static func grammar(
        _ variants: [(prefix: String, schema: OrderedJSON, suffix: String)]
    ) throws(SchemaError) -> Grammar {
        var whole = Grammar(), budget = AutomatonBudget()
        var roots: [Int] = []
        for variant in variants {
            var compiler = JSONSchemaCompiler(variant.schema)
            compiler.grammar = whole
            compiler.budget = budget
            let value = try compiler.node(variant.schema, "#", depth: 0)
            let parts = [compiler.grammar.literal(variant.prefix), value, compiler.grammar.literal(variant.suffix)]
            roots.append(compiler.grammar.add(.sequence(parts)))
            whole = compiler.grammar
            budget = compiler.budget
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

    /// Words that ask nothing of the answer.
    static let annotations: Set<String> = [
        "title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "deprecated",
        "readOnly", "writeOnly", "$defs", "definitions", "strict", "contentEncoding", "contentMediaType",
    ]

    /// Words that ask something of values of one type only.
    private static let words: [String: Set<String>] = [
        "string": ["minLength", "maxLength", "pattern", "format", unmatched],
        "number": ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"],
        "array": ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
        "object": [
            "properties", "required", "additionalProperties", "minProperties", "maxProperties", "propertyNames",
            "patternProperties", "dependentRequired",
        ],
    ]

    mutating func choice(_ texts: [String]) -> Int {
        let parts = texts.map { grammar.literal($0) }
        return grammar.add(.choice(parts))
    }

    mutating func node(_ schema: OrderedJSON, _ path: String, depth: Int) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard depth <= 64 else { throw fail("is nested more than 64 deep, or holds itself") }
        guard grammar.nodes.count <= Self.maximumNodes else { throw fail("the schema is too large") }
        if schema == .bool(true) { return any(depth: 5) }
        if schema == .bool(false) { throw .unfulfillable(path, "no value fulfils it") }
        guard case .object(let members) = schema else { throw fail("must be an object") }
        let rest = members.filter { !Self.annotations.contains($0.key) }, keys = Set(rest.map(\.key))
        if keys == ["$ref"] { return try resolve(schema, path, depth: depth) }
        if keys.contains("$ref") || keys.contains("allOf") || !keys.isDisjoint(with: Self.conditions) {
            return try node(merged(schema, path, depth: depth), path, depth: depth + 1)
        }
        for key in ["anyOf", "oneOf"] where keys.contains(key) {
            return try variants(key, rest, path, depth: depth)
        }
        if keys.contains("const") || keys.contains("enum") { return try values(rest, path) }
        let types = try self.types(rest, path)
        let known = types.reduce(into: Set(["type", Self.excluded])) {
            $0.formUnion(Self.words[$1 == "integer" ? "number" : $1] ?? [])
        }
        if let key = keys.subtracting(known).min() {
            throw fail("'\(key)' cannot be kept to here; leave it out and check the answer yourself")
        }
        if keys.isEmpty { return any(depth: 5) }
        var nodes: [Int] = []
        var failure: SchemaError?
        for type in types {
            do throws(SchemaError) { nodes.append(try typed(type, schema, path, depth)) } catch {
                guard error.isUnfulfillable else { throw error }
                failure = failure ?? error
            }
        }
        if nodes.isEmpty, let failure { throw failure }
        return nodes.count == 1 ? nodes[0] : grammar.add(.choice(nodes))
    }

    /// The types that answers may have; without the word, that of the other words.
    private func types(_ members: [OrderedJSON.Member], _ path: String) throws(SchemaError) -> [String] {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        let names: [String]
        switch members.first(where: { $0.key == "type" })?.value {
        case .string(let name): names = [name]
        case .array(let elements):
            names = elements.compactMap(\.string)
            if elements.isEmpty { throw .unfulfillable(path, "no type fulfils it") }
            guard names.count == elements.count, Set(names).count == names.count else {
                throw fail("type must hold names, each once")
            }
        case nil:
            guard let key = members.map(\.key).min() else { return [] }
            if members.allSatisfy({ $0.key == Self.excluded }) {
                return ["string", "number", "boolean", "null", "array", "object"]
            }
            let types = Self.words.filter { words in
                words.key != "null" && members.contains { words.value.contains($0.key) }
            }
            guard types.count == 1, let type = types.first?.key else {
                throw fail("'\(key)' cannot be kept to without a type")
            }
            names = [type]
        default: throw fail("type must be a string or an array of strings")
        }
        let known = ["string", "number", "integer", "boolean", "null", "array", "object"]
        if let name = names.first(where: { !known.contains($0) }) { throw fail("type '\(name)' is not known") }
        return names
    }

    private mutating func typed(
        _ type: String, _ schema: OrderedJSON, _ path: String, _ depth: Int
    ) throws(SchemaError) -> Int {
        switch type {
        case "string": try string(schema, path)
        case "integer", "number": try number(schema, path, isInteger: type == "integer")
        case "boolean": try words([.bool(true), .bool(false)], schema, path)
        case "null": try words([.null], schema, path)
        case "array": try array(schema, path, depth)
        default: try object(schema, path, depth)
        }
    }

    /// `const` and `enum`.
    private mutating func values(_ members: [OrderedJSON.Member], _ path: String) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        if let key = Set(members.map(\.key)).subtracting(["const", "enum", "type", Self.excluded]).min() {
            throw fail("'\(key)' beside const or enum cannot be kept to here")
        }
        let schema = OrderedJSON.object(members)
        var values: [OrderedJSON]
        if let list = schema["enum"] {
            guard case .array(let elements) = list, elements.count <= 1000 else {
                throw fail("enum must hold 1 to 1000 values")
            }
            values = elements
            if let constant = schema["const"] { values = values.filter { $0.isSameValue(constant) } }
        } else {
            values = schema["const"].map { [$0] } ?? []
        }
        if schema["type"] != nil {
            let types = try self.types(members, path)
            values = values.filter { value in types.contains { value.isOfType($0) } }
        }
        values = values.filter { value in !excludedValues(schema).contains { $0.isSameValue(value) } }
        guard !values.isEmpty else { throw .unfulfillable(path, "no value fulfils it") }
        return choice(values.map(\.compactText))
    }

    /// `anyOf` and `oneOf`, with what stands beside them.
    private mutating func variants(
        _ key: String, _ members: [OrderedJSON.Member], _ path: String, depth: Int
    ) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard case .array(let parts)? = members.first(where: { $0.key == key })?.value, !parts.isEmpty,
            parts.count <= 100
        else { throw fail("\(key) must hold 1 to 100 schemas") }
        let beside = members.filter { $0.key != key }
        var schemas: [OrderedJSON] = []
        for part in parts {
            // Alone, a variant stays what it is, so that references are followed once only.
            schemas.append(
                beside.isEmpty ? part : .object([.init(key: "allOf", value: .array([.object(beside), part]))]))
        }
        if key == "oneOf" {
            for first in schemas.indices {
                for second in schemas.indices where second > first {
                    guard areDisjoint(schemas[first], schemas[second], depth: 0) else {
                        throw fail(
                            "oneOf/\(first) and oneOf/\(second) may both hold for one value; give them different types, "
                                + "or a required property with different constants, or write anyOf")
                    }
                }
            }
        }
        var nodes: [Int] = []
        var failure: SchemaError?
        for (index, schema) in schemas.enumerated() {
            do throws(SchemaError) {
                nodes.append(try node(schema, "\(path)/\(key)/\(index)", depth: depth + 1))
            } catch {
                // A variant that no value fulfils is none.
                guard error.isUnfulfillable else { throw error }
                failure = failure ?? error
            }
        }
        if nodes.isEmpty, let failure { throw failure }
        return grammar.add(.choice(nodes))
    }

    func bounds(
        _ schema: OrderedJSON, _ low: String, _ high: String, _ path: String
    ) throws(SchemaError) -> (Int, Int?) {
        func number(_ key: String) throws(SchemaError) -> Int? {
            guard let value = schema[key] else { return nil }
            guard let number = value.wholeNumber, (0...100_000).contains(number) else {
                throw SchemaError(path: path, reason: "\(key) must be a whole number from 0 to 100000")
            }
            return number
        }
        let minimum = try number(low) ?? 0, maximum = try number(high)
        guard minimum <= maximum ?? .max else { throw .unfulfillable(path, "\(low) is above \(high)") }
        return (minimum, maximum)
    }

    /// Any JSON, of arrays and objects so deep.
    mutating func any(depth: Int) -> Int {
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

    private mutating func resolve(_ schema: OrderedJSON, _ path: String, depth: Int) throws(SchemaError) -> Int {
        let (found, target) = try referenced(schema, path)
        if let node = references[target] { return node }
        // The place is known before what stands in it, because it may refer to itself.
        let place = grammar.add(.sequence([]))
        references[target] = place
        let inner = try node(found, target, depth: depth + 1)
        grammar.set(place, .sequence([inner]))
        return place
    }

    /// The schema that `$ref` names, and its name.
    func referenced(_ schema: OrderedJSON, _ path: String) throws(SchemaError) -> (OrderedJSON, String) {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        guard case .string(let target)? = schema["$ref"] else { throw fail("$ref must be a string") }
        guard target.hasPrefix("#") else { throw fail("$ref must point into the schema itself (#/$defs/…)") }
        var found = document
        for step in target.dropFirst().split(separator: "/") {
            let name = String(step.replacing("~1", with: "/").replacing("~0", with: "~"))
            let next: OrderedJSON? =
                if case .array(let elements) = found, let index = Int(name), elements.indices.contains(index) {
                    elements[index]
                } else { found[name] }
            guard let next else { throw fail("$ref points to '\(target.prefix(100))', which is not there") }
            found = next
        }
        return (found, target)
    }
}
