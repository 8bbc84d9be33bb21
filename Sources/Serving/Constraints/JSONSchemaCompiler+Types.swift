internal import Text

/// What the words of each type ask for.
extension JSONSchemaCompiler {
    mutating func string(_ schema: OrderedJSON, _ path: String) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        let (minimum, maximum) = try bounds(schema, "minLength", "maxLength", path)
        var patterns: [String] = [], unmatched: [String] = []
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
        for pattern in schema[Self.unmatched]?.elements ?? [] {
            guard case .string(let text) = pattern else { throw fail("pattern must be a string") }
            unmatched.append(text)
        }
        let excluded = excludedValues(schema).compactMap(\.string)
        if patterns.isEmpty, unmatched.isEmpty, excluded.isEmpty {
            return grammar.add(.string(minimum: minimum, maximum: maximum))
        }
        var automata: [CharacterAutomaton] = [], others: [CharacterAutomaton] = []
        do throws(RegularExpression.Failure) {
            for pattern in patterns {
                guard let automaton = try RegularExpression(pattern).automaton(&budget) else {
                    throw RegularExpression.Failure(reason: "no text fulfils the pattern")
                }
                automata.append(automaton)
            }
            for pattern in unmatched {
                if let automaton = try RegularExpression(pattern).automaton(&budget) { others.append(automaton) }
            }
        } catch { throw fail(error.reason) }
        for text in excluded { others.append(try literalAutomaton(text, path)) }
        return try stringNode(automata, not: others, minimum: minimum, maximum: maximum, path)
    }

    /// Texts that fit some automata and others not, with so many characters.
    mutating func stringNode(
        _ fitting: [CharacterAutomaton], not others: [CharacterAutomaton], minimum: Int, maximum: Int?, _ path: String
    ) throws(SchemaError) -> Int {
        var all = fitting
        for other in others {
            guard let rest = other.complement() else { throw .unfulfillable(path, "no text fulfils it") }
            all.append(rest)
        }
        if all.isEmpty { return grammar.add(.string(minimum: minimum, maximum: maximum)) }
        return try automaton(path, "no text fulfils its words together", .jsonString) {
            (budget: inout AutomatonBudget) throws(AutomatonError) -> CharacterAutomaton? in
            try CharacterAutomaton(all: all, minimum: minimum, maximum: maximum, &budget)
        }
    }

    /// The automaton of one text.
    mutating func literalAutomaton(_ text: String, _ path: String) throws(SchemaError) -> CharacterAutomaton {
        do throws(AutomatonError) {
            var net = CharacterNet()
            net.start = try net.state()
            var last = net.start
            for scalar in text.unicodeScalars {
                let next = try net.state()
                net.connect(last, .one(ScalarSet(scalar)), next)
                last = next
            }
            net.accepting = [last]
            if let automaton = try CharacterAutomaton(net, &budget) { return automaton }
        } catch { throw SchemaError(path: path, reason: "what it asks for is too large to be kept to") }
        throw SchemaError(path: path, reason: "what it asks for is too large to be kept to")
    }

    /// The values that are ruled out.
    func excludedValues(_ schema: OrderedJSON) -> [OrderedJSON] { schema[Self.excluded]?.elements ?? [] }

    /// Arrays and objects cannot be told apart from one that is ruled out.
    func refuseExcluded(_ kind: OrderedJSON, _ schema: OrderedJSON, _ path: String) throws(SchemaError) {
        let type = kind.isOfType("array") ? "array" : "object"
        if excludedValues(schema).contains(where: { $0.isOfType(type) }) {
            throw SchemaError(path: path, reason: "\(type)s within not or if cannot be kept to here")
        }
    }

    /// `true`, `false` and `null`, as far as they are not ruled out.
    mutating func words(_ values: [OrderedJSON], _ schema: OrderedJSON, _ path: String) throws(SchemaError) -> Int {
        let left = values.filter { value in !excludedValues(schema).contains { $0.isSameValue(value) } }
        if left.isEmpty { throw .unfulfillable(path, "no value fulfils it") }
        return choice(left.map(\.compactText))
    }

    /// Numbers between those that are ruled out.
    mutating func number(_ schema: OrderedJSON, _ path: String, isInteger: Bool) throws(SchemaError) -> Int {
        let excluded = excludedValues(schema).filter { $0.double != nil }.sorted { $0.double ?? 0 < $1.double ?? 0 }
        guard !excluded.isEmpty else { return try interval(schema, path, isInteger: isInteger) }
        guard excluded.count <= 20 else {
            throw SchemaError(path: path, reason: "more than 20 numbers within not or if cannot be kept to here")
        }
        let own = OrderedJSON.object([
            .init(key: "type", value: .string(isInteger ? "integer" : "number"))
        ])
        var nodes: [Int] = []
        for index in 0...excluded.count {
            var limits: [OrderedJSON.Member] = []
            if index > 0 { limits.append(.init(key: "exclusiveMinimum", value: excluded[index - 1])) }
            if index < excluded.count { limits.append(.init(key: "exclusiveMaximum", value: excluded[index])) }
            let rest = OrderedJSON.object(schema.members.filter { $0.key != Self.excluded && $0.key != "type" })
            do throws(SchemaError) {
                let part = try merged(.all([rest, own, .object(limits)]), path, depth: 0)
                nodes.append(try interval(part, path, isInteger: isInteger))
            } catch { if !error.isUnfulfillable { throw error } }
        }
        if nodes.isEmpty { throw .unfulfillable(path, "no number fulfils it") }
        return grammar.add(.choice(nodes))
    }

    private mutating func interval(
        _ schema: OrderedJSON, _ path: String, isInteger: Bool
    ) throws(SchemaError) -> Int {
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
        guard let made else { throw .unfulfillable(path, none) }
        return grammar.add(made)
    }

    mutating func array(_ schema: OrderedJSON, _ path: String, _ depth: Int) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        try refuseExcluded(.array([]), schema, path)
        let (minimum, maximum) = try bounds(schema, "minItems", "maxItems", path)
        if let unique = schema["uniqueItems"], unique != .bool(false), maximum ?? 2 > 1 {
            return try differentItems(schema, minimum, maximum, path, depth)
        }
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
        var element: Int?
        if maximum ?? .max > first.count {
            do throws(SchemaError) {
                element =
                    try schema["items"].map { items throws(SchemaError) in
                        try node(items, "\(path)/items", depth: depth + 1)
                    } ?? any(depth: 4)
            } catch { if !error.isUnfulfillable { throw error } }
        }
        if element == nil, minimum > first.count {
            throw .unfulfillable(path, "minItems asks for more than its items allow")
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

    /// Arrays in which no value comes twice, where there are few values to choose from.
    private mutating func differentItems(
        _ schema: OrderedJSON, _ minimum: Int, _ maximum: Int?, _ path: String, _ depth: Int
    ) throws(SchemaError) -> Int {
        let items = try merged(schema["items"] ?? .bool(true), "\(path)/items", depth: depth + 1)
        guard schema["prefixItems"] == nil, let values = try finiteValues(items, "\(path)/items"), values.count <= 16
        else {
            throw SchemaError(
                path: path,
                reason:
                    "'uniqueItems' can be kept to only where items are up to 16 values (enum, const, boolean); leave "
                    + "it out and check the answer yourself")
        }
        guard minimum <= values.count else { throw .unfulfillable(path, "there are too few different items") }
        let limit = min(maximum ?? .max, values.count), end = grammar.literal("]"), separator = comma
        let literals = values.map { grammar.literal($0.compactText) }
        // What may follow behind a set of values, whatever their order was.
        var known: [Int: Int] = [:]
        func rest(_ used: Int) throws(SchemaError) -> Int {
            if let found = known[used] { return found }
            guard grammar.nodes.count <= Self.maximumNodes else {
                throw SchemaError(path: path, reason: "'uniqueItems' over so many values is too large to be kept to")
            }
            var choices = used.nonzeroBitCount >= minimum ? [end] : []
            if used.nonzeroBitCount < limit {
                for index in values.indices where used & 1 << index == 0 {
                    let next = try rest(used | 1 << index)
                    choices.append(
                        grammar.add(
                            .sequence(used == 0 ? [literals[index], next] : [separator, literals[index], next])))
                }
            }
            let node = choices.count == 1 ? choices[0] : grammar.add(.choice(choices))
            known[used] = node
            return node
        }
        let start = grammar.literal("["), inner = try rest(0)
        return grammar.add(.sequence([start, inner]))
    }

    /// The values of a schema that names them, each once; nil for other schemas.
    private func finiteValues(_ schema: OrderedJSON, _ path: String) throws(SchemaError) -> [OrderedJSON]? {
        let named = Set(schema.members.map(\.key)).subtracting(Self.annotations)
        var values: [OrderedJSON]
        if let known = schema.finiteValues {
            guard named.isSubset(of: ["const", "enum", "type", Self.excluded]) else { return nil }
            values = known
            if let constant = schema["const"] { values = values.filter { $0.isSameValue(constant) } }
        } else {
            guard named.isSubset(of: ["type", Self.excluded]),
                Self.semanticTypes(type: schema["type"]).isSubset(of: ["boolean", "null"])
            else { return nil }
            values = [.bool(true), .bool(false), .null]
        }
        let types = Self.semanticTypes(type: schema["type"])
        return values.reduce(into: []) { left, value in
            if !left.contains(where: { $0.isSameValue(value) }), types.contains(where: value.isOfType),
                !excludedValues(schema).contains(where: { $0.isSameValue(value) })
            {
                left.append(value)
            }
        }
    }
}

extension NumberRange {
    /// Whether nothing is asked for.
    fileprivate var isOpen: Bool {
        [minimum, exclusiveMinimum, maximum, exclusiveMaximum, multipleOf].allSatisfy { $0 == nil }
    }
}
