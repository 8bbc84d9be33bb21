internal import Text

/// What the words of each type ask for.
extension JSONSchemaCompiler {
    mutating func string(_ schema: OrderedJSON, _ path: String) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        let (minimum, maximum) = try bounds(schema, "minLength", "maxLength", path)
        var patterns: [String] = []
        switch schema["pattern"] {
        case nil: break
        case .string(let pattern): patterns.append(pattern)
        default: throw fail("pattern must be a string")
        }
        switch schema["format"] {
        case nil: break
        case .string(let name): if let pattern = StringFormat.patterns[name] { patterns.append("^(?:\(pattern))$") }
        default: throw fail("format must be a string")
        }
        if patterns.isEmpty { return grammar.add(.string(minimum: minimum, maximum: maximum)) }
        var automata: [CharacterAutomaton] = []
        for pattern in patterns {
            do throws(RegularExpression.Failure) {
                guard let automaton = try RegularExpression(pattern).automaton(&budget) else {
                    throw RegularExpression.Failure(reason: "no text fulfils the pattern")
                }
                automata.append(automaton)
            } catch { throw fail(error.reason) }
        }
        return try automaton(path, "no text fulfils its words together", .jsonString) {
            (budget: inout AutomatonBudget) throws(AutomatonError) -> CharacterAutomaton? in
            try CharacterAutomaton(all: automata, minimum: minimum, maximum: maximum, &budget)
        }
    }

    mutating func number(_ schema: OrderedJSON, _ path: String, isInteger: Bool) throws(SchemaError) -> Int {
        func bound(_ key: String) throws(SchemaError) -> DecimalNumber? {
            guard let value = schema[key] else { return nil }
            let number: DecimalNumber? =
                switch value {
                case .int, .double: DecimalNumber(value.compactText)
                default: nil
                }
            guard let number else { throw SchemaError(path: path, reason: "\(key) must be a number") }
            return number
        }
        let range = NumberRange(
            isInteger: isInteger, minimum: try bound("minimum"), exclusiveMinimum: try bound("exclusiveMinimum"),
            maximum: try bound("maximum"), exclusiveMaximum: try bound("exclusiveMaximum"),
            multipleOf: try bound("multipleOf"))
        if range.isOpen { return grammar.add(.number(isInteger: isInteger)) }
        if let unit = range.multipleOf, unit.mantissa <= 0 {
            throw SchemaError(path: path, reason: "multipleOf must be above 0")
        }
        return try automaton(path, "no number of up to 15 digits fulfils it", .plain) {
            (budget: inout AutomatonBudget) throws(AutomatonError) -> CharacterAutomaton? in
            try range.automaton(&budget)
        }
    }

    private mutating func automaton(
        _ path: String, _ none: String, _ writing: ByteAutomaton.Writing,
        _ build: (inout AutomatonBudget) throws(AutomatonError) -> CharacterAutomaton?
    ) throws(SchemaError) -> Int {
        let made: ByteAutomaton?
        do throws(AutomatonError) {
            if let found = try build(&budget) {
                made = try ByteAutomaton(found, writing, &budget)
            } else {
                made = nil
            }
        } catch { throw SchemaError(path: path, reason: "what it asks for is too large to be kept to") }
        guard let made else { throw SchemaError(path: path, reason: none) }
        return grammar.add(made)
    }

    mutating func array(_ schema: OrderedJSON, _ path: String, _ depth: Int) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        if let unique = schema["uniqueItems"], unique != .bool(false) {
            throw fail("'uniqueItems' cannot be kept to here; leave it out and check the answer yourself")
        }
        let (minimum, maximum) = try bounds(schema, "minItems", "maxItems", path)
        var first: [Int] = []
        switch schema["prefixItems"] {
        case nil: break
        case .array(let schemas) where schemas.count <= 100:
            for (index, schema) in schemas.enumerated() where index < maximum ?? .max {
                first.append(try node(schema, "\(path)/prefixItems/\(index)", depth: depth + 1))
            }
        default: throw fail("prefixItems must hold up to 100 schemas")
        }
        let start = grammar.literal("["), end = grammar.literal("]")
        let isClosed = schema["items"] == .bool(false)
        if isClosed, minimum > first.count { throw fail("minItems asks for more than items: false allows") }
        var element: Int?
        if !isClosed, maximum ?? .max > first.count {
            element =
                try schema["items"].map { items throws(SchemaError) in
                    try node(items, "\(path)/items", depth: depth + 1)
                } ?? any(depth: 4)
        }
        func list(_ minimum: Int, _ maximum: Int?, in grammar: inout Grammar, _ separator: Int) -> Int {
            guard let element else { return grammar.add(.sequence([])) }
            return grammar.add(.list(element: element, separator: separator, minimum: minimum, maximum: maximum))
        }
        let separator = comma
        guard !first.isEmpty else {
            let elements = list(minimum, maximum, in: &grammar, separator)
            return grammar.add(.sequence([start, elements, end]))
        }
        // Behind the first ones a separator comes before every further one.
        let left = maximum.map { $0 - first.count }
        var tail = end
        if let element, left != 0 {
            let further = grammar.add(.sequence([separator, element]))
            let nothing = grammar.add(.sequence([]))
            let elements = grammar.add(
                .list(element: further, separator: nothing, minimum: max(0, minimum - first.count), maximum: left))
            tail = grammar.add(.sequence([elements, end]))
        }
        for (index, item) in first.enumerated().reversed() {
            let one = grammar.add(.sequence(index == 0 ? [item, tail] : [separator, item, tail]))
            // An array may end before this one if it holds enough by then.
            tail = index >= minimum ? grammar.add(.choice([one, end])) : one
        }
        return grammar.add(.sequence([start, tail]))
    }

    /// Properties in the order of the schema; those that are not required may be left out.
    mutating func object(_ schema: OrderedJSON, _ path: String, _ depth: Int) throws(SchemaError) -> Int {
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
        let (minimum, maximum) = try bounds(schema, "minProperties", "maxProperties", path)
        let additional = schema["additionalProperties"]
        if properties.isEmpty, additional != .bool(false) {
            // A name may come twice, and counts once.
            guard minimum <= 1 else { throw fail("minProperties above 1 needs properties that are required") }
            let element =
                try additional.map { additional throws(SchemaError) in
                    try node(additional, "\(path)/additionalProperties", depth: depth + 1)
                } ?? any(depth: 4)
            let key = try schema["propertyNames"].map { names throws(SchemaError) in
                try node(
                    merged(
                        .object([
                            .init(
                                key: "allOf",
                                value: .array([names, .object([.init(key: "type", value: .string("string"))])]))
                        ]), path, depth: depth),
                    "\(path)/propertyNames", depth: depth + 1)
            }
            return freeObject(element: element, key: key, minimum: minimum, maximum: maximum)
        }
        guard schema["propertyNames"] == nil else {
            throw fail("propertyNames beside properties cannot be kept to here")
        }
        guard minimum <= required.count, maximum ?? .max >= properties.count else {
            throw fail("minProperties and maxProperties can be kept to only where all or no optional properties fit")
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

    mutating func freeObject(element: Int, key: Int? = nil, minimum: Int = 0, maximum: Int? = nil) -> Int {
        let key = key ?? grammar.add(.string(minimum: 0, maximum: nil))
        let member = grammar.add(.sequence([key, colon, element]))
        let parts = [
            grammar.literal("{"),
            grammar.add(.list(element: member, separator: comma, minimum: minimum, maximum: maximum)),
            grammar.literal("}"),
        ]
        return grammar.add(.sequence(parts))
    }
}

extension NumberRange {
    /// Whether nothing is asked for.
    fileprivate var isOpen: Bool {
        [minimum, exclusiveMinimum, maximum, exclusiveMaximum, multipleOf].allSatisfy { $0 == nil }
    }
}
