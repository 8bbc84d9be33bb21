internal import Text

/// What the words of objects ask for.
extension JSONSchemaCompiler {
    /// Properties in the order of the schema; those that are not required may be left out.
    mutating func object(_ schema: OrderedJSON, _ path: String, _ depth: Int) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        try refuseExcluded(.object([]), schema, path)
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
        let patterns = try patternProperties(schema, path)
        let (minimum, maximum) = try bounds(schema, "minProperties", "maxProperties", path)
        if properties.allSatisfy({ $0.value == .bool(false) }), required.isEmpty,
            schema["additionalProperties"] != .bool(false) || !patterns.isEmpty
        {
            return try freeObject(
                schema, patterns, forbidden: properties.map(\.key), minimum: minimum, maximum: maximum, path, depth)
        }
        guard schema["propertyNames"] == nil else {
            throw fail("propertyNames beside properties cannot be kept to here")
        }
        var chain = PropertyChain(minimum: minimum, maximum: maximum, dependencies: try dependencies(schema, path))
        for property in properties {
            // What a pattern asks of a property holds for one that is named, too.
            let matching = patterns.filter { $0.automaton?.accepts(property.key) == true }.map(\.schema)
            let place = "\(path)/properties/\(property.key)"
            do throws(SchemaError) {
                if property.value == .bool(false) { throw .unfulfillable(place, "no value fulfils it") }
                let value = try node(
                    matching.isEmpty ? property.value : .all([property.value] + matching), place, depth: depth + 1)
                let key = grammar.literal(OrderedJSON.string(property.key).compactText)
                chain.properties.append(
                    (property.key, grammar.add(.sequence([key, colon, value])), required.contains(property.key)))
            } catch {
                // A property that no value fits must not be there.
                guard error.isUnfulfillable, !required.contains(property.key) else { throw error }
            }
        }
        guard let members = try chain.nodes(in: &self, path) else {
            throw .unfulfillable(path, "no choice of its properties fulfils it")
        }
        let start = grammar.literal("{")
        return grammar.add(.sequence([start, members]))
    }

    /// Patterns of names with what they ask for. No automaton: no name fits the pattern.
    private mutating func patternProperties(
        _ schema: OrderedJSON, _ path: String
    ) throws(SchemaError) -> [(automaton: CharacterAutomaton?, schema: OrderedJSON)] {
        guard let words = schema["patternProperties"] else { return [] }
        guard case .object(let members) = words, members.count <= 20 else {
            throw SchemaError(path: path, reason: "patternProperties must be an object of up to 20 schemas")
        }
        var patterns: [(CharacterAutomaton?, OrderedJSON)] = []
        for member in members {
            do throws(RegularExpression.Failure) {
                patterns.append((try RegularExpression(member.key).automaton(&budget), member.value))
            } catch { throw SchemaError(path: "\(path)/patternProperties", reason: error.reason) }
        }
        return patterns
    }

    private func dependencies(_ schema: OrderedJSON, _ path: String) throws(SchemaError) -> [String: Set<String>] {
        guard let words = schema["dependentRequired"] else { return [:] }
        let reason = "dependentRequired must map names to arrays of names"
        guard case .object(let members) = words else { throw SchemaError(path: path, reason: reason) }
        var result: [String: Set<String>] = [:]
        for member in members {
            guard case .array(let names) = member.value, names.allSatisfy({ $0.string != nil }) else {
                throw SchemaError(path: path, reason: reason)
            }
            result[member.key, default: []].formUnion(names.compactMap(\.string))
        }
        return result
    }

    /// An object whose names are not listed.
    private mutating func freeObject(
        _ schema: OrderedJSON, _ patterns: [(automaton: CharacterAutomaton?, schema: OrderedJSON)], forbidden: [String],
        minimum: Int, maximum: Int?, _ path: String, _ depth: Int
    ) throws(SchemaError) -> Int {
        func fail(_ reason: String) -> SchemaError { SchemaError(path: path, reason: reason) }
        // A name may come twice, and counts once.
        guard minimum <= 1 else { throw fail("minProperties above 1 needs properties that are required") }
        guard schema["dependentRequired"] == nil else { throw fail("dependentRequired needs properties") }
        guard schema["propertyNames"] == nil || patterns.isEmpty && forbidden.isEmpty else {
            throw fail("propertyNames beside properties or patternProperties cannot be kept to here")
        }
        let additional = schema["additionalProperties"]
        if patterns.isEmpty, forbidden.isEmpty {
            let element =
                try additional.map { additional throws(SchemaError) in
                    try node(additional, "\(path)/additionalProperties", depth: depth + 1)
                } ?? any(depth: 4)
            let key = try schema["propertyNames"].map { names throws(SchemaError) in
                try node(
                    merged(.all([names, .object([.init(key: "type", value: .string("string"))])]), path, depth: depth),
                    "\(path)/propertyNames", depth: depth + 1)
            }
            return freeObject(element: element, key: key, minimum: minimum, maximum: maximum)
        }
        var members: [Int] = []
        func add(_ fitting: [CharacterAutomaton], _ others: [CharacterAutomaton], _ value: Int) throws(SchemaError) {
            do throws(SchemaError) {
                let key = try key(fitting, not: others, path)
                members.append(grammar.add(.sequence([key, colon, value])))
            } catch { if !error.isUnfulfillable { throw error } }
        }
        var names: [CharacterAutomaton] = []
        for name in forbidden { names.append(try literalAutomaton(name, path)) }
        let automata = patterns.map(\.automaton)
        for (index, pattern) in patterns.enumerated() {
            guard let own = pattern.automaton else { continue }
            // A name that fits several patterns would have to fulfil all of them.
            let others = automata.enumerated().compactMap { $0.offset == index ? nil : $0.element }
            do throws(SchemaError) {
                let value = try node(pattern.schema, "\(path)/patternProperties/\(index)", depth: depth + 1)
                try add([own], others + names, value)
            } catch { if !error.isUnfulfillable { throw error } }
        }
        if additional != .bool(false) {
            let value =
                try additional.map { additional throws(SchemaError) in
                    try node(additional, "\(path)/additionalProperties", depth: depth + 1)
                } ?? any(depth: 4)
            try add([], automata.compactMap { $0 } + names, value)
        }
        if members.isEmpty {
            guard minimum == 0 else { throw .unfulfillable(path, "no name fulfils it") }
            return grammar.literal("{}")
        }
        let member = grammar.add(.choice(members))
        return freeObject(member: member, minimum: minimum, maximum: maximum)
    }

    /// A name that fits some patterns and others not.
    private mutating func key(
        _ fitting: [CharacterAutomaton], not others: [CharacterAutomaton], _ path: String
    ) throws(SchemaError) -> Int {
        try stringNode(fitting, not: others, minimum: 0, maximum: nil, path)
    }

    mutating func freeObject(element: Int, key: Int? = nil, minimum: Int = 0, maximum: Int? = nil) -> Int {
        let key = key ?? grammar.add(.string(minimum: 0, maximum: nil))
        return freeObject(
            member: grammar.add(.sequence([key, colon, element])), minimum: minimum, maximum: maximum)
    }

    private mutating func freeObject(member: Int, minimum: Int, maximum: Int?) -> Int {
        let parts = [
            grammar.literal("{"),
            grammar.add(.list(element: member, separator: comma, minimum: minimum, maximum: maximum)),
            grammar.literal("}"),
        ]
        return grammar.add(.sequence(parts))
    }
}

/// The properties of an object one after another, and which of them are there.
private struct PropertyChain {
    var properties: [(name: String, node: Int, isRequired: Bool)] = []
    let minimum: Int
    let maximum: Int?
    let dependencies: [String: Set<String>]

    /// What was decided so far, as far as it matters for what may follow.
    private struct Place: Hashable {
        var index: Int
        var count: Int
        var present: Set<String>
    }

    init(minimum: Int, maximum: Int?, dependencies: [String: Set<String>]) {
        self.minimum = minimum
        self.maximum = maximum
        self.dependencies = dependencies
    }

    /// What comes behind the opening brace; nil where nothing fits.
    func nodes(in compiler: inout JSONSchemaCompiler, _ path: String) throws(SchemaError) -> Int? {
        var known: [Place: Int?] = [:]
        let end = compiler.grammar.literal("}"), comma = compiler.comma
        let relevant = Set(dependencies.keys).union(dependencies.values.joined())
        let countMatters =
            minimum > properties.count { $0.isRequired } || maximum ?? .max < properties.count
        func visit(_ place: Place) throws(SchemaError) -> Int? {
            if let found = known[place] { return found }
            guard compiler.grammar.nodes.count <= JSONSchemaCompiler.maximumNodes else {
                throw SchemaError(path: path, reason: "the schema is too large")
            }
            guard place.index < properties.count else {
                let isWhole = !countMatters || place.count >= minimum
                let isKept = dependencies.allSatisfy {
                    !place.present.contains($0.key) || $0.value.isSubset(of: place.present)
                }
                let node = isWhole && isKept ? end : nil
                known[place] = .some(node)
                return node
            }
            let property = properties[place.index]
            var next = place
            next.index += 1
            let without = property.isRequired ? nil : try visit(next)
            var with: Int?
            if !countMatters || place.count < maximum ?? .max {
                next.count = countMatters ? place.count + 1 : 1
                if relevant.contains(property.name) { next.present.insert(property.name) }
                if let rest = try visit(next) {
                    with = compiler.grammar.add(
                        .sequence(place.count > 0 ? [comma, property.node, rest] : [property.node, rest]))
                }
            }
            let choices = [with, without].compactMap { $0 }
            let node = choices.count > 1 ? compiler.grammar.add(.choice(choices)) : choices.first
            known[place] = .some(node)
            return node
        }
        return try visit(Place(index: 0, count: 0, present: []))
    }
}
