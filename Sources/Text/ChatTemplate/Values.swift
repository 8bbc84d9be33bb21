extension Jinja {
    /// A value while a template is rendered. Containers never change once built, as in jinja2's immutable sandbox; only
    /// namespaces do.
    enum Value {
        case undefined(Undefined)
        case none
        case bool(Bool)
        case int(Int)
        case double(Double)
        case string(TracedString)
        case list(Items)
        case tuple(Items)
        case dictionary(Mapping)
        case range(NumberRange)
        case view(MappingView)
        case generator(Generator)
        case object(Object)
    }

    /// What a missing name, attribute or item gives: prints as nothing, and explains itself when used for more.
    final class Undefined {
        let fault: Fault
        init(_ fault: Fault) { self.fault = fault }
    }

    /// The elements of a list or tuple.
    final class Items {
        let elements: [Value]
        let depth: Int
        /// Names of a named tuple's elements; else empty.
        let fields: [String]

        init(_ elements: [Value], fields: [String] = []) throws {
            self.elements = elements
            self.fields = fields
            depth = try nested(elements)
        }
    }

    /// A dictionary in order of insertion.
    final class Mapping {
        private(set) var keys: [Value] = []
        private(set) var values: [Value] = []
        private(set) var depth = 1
        private var index: [Key: Int] = [:]

        init() {}

        init(_ pairs: [(Value, Value)]) throws {
            for (key, value) in pairs { try insert(key, value) }
            depth = try nested(values)
        }

        /// Only while the dictionary is being built.
        private func insert(_ key: Value, _ value: Value) throws {
            let hashed = try Key(key)
            if let place = index[hashed] {
                values[place] = value
            } else {
                index[hashed] = keys.count
                keys.append(key)
                values.append(value)
            }
        }

        var count: Int { keys.count }

        subscript(key: Key) -> Value? { index[key].map { values[$0] } }
        subscript(key: TracedString) -> Value? { index[.string(key)].map { values[$0] } }

        var pairs: Zip2Sequence<[Value], [Value]> { zip(keys, values) }
    }

    /// What `keys`, `values` and `items` of a dictionary give.
    struct MappingView {
        enum Kind: String { case keys, values, items }
        var kind: Kind
        var mapping: Mapping

        func elements() throws -> [Value] {
            switch kind {
            case .keys: mapping.keys
            case .values: mapping.values
            case .items: try mapping.pairs.map { .tuple(try Items([$0, $1])) }
            }
        }
    }

    /// Python's `range`: `step` is not 0 and `count` was computed without overflow.
    struct NumberRange {
        var start: Int
        var stop: Int
        var step: Int
        var count: Int

        func element(_ index: Int) -> Int { start &+ index &* step }
    }

    /// A sequence that is made element by element and only once, as Python's generators are.
    final class Generator {
        let depth: Int
        /// What Python would call it.
        let name: String
        let next: () throws -> Value?

        init(_ name: String, over depth: Int, next: @escaping () throws -> Value?) throws {
            self.name = name
            self.depth = depth + 1
            self.next = next
            if self.depth > maximumValueDepth { throw Fault.limit("generators over generators too deeply") }
        }
    }

    /// A hashable stand-in for a value: numbers that are equal have one key, as in Python.
    enum Key: Hashable {
        case none
        case int(Int)
        case double(Double)
        case string(TracedString)
        case tuple([Key])
        case range(count: Int, start: Int, step: Int)
        case identity(ObjectIdentifier)

        init(_ value: Value) throws {
            switch value {
            case .none: self = .none
            case .bool(let flag): self = .int(flag ? 1 : 0)
            case .int(let number): self = .int(number)
            case .double(let number):
                if let whole = Int(exactly: number) { self = .int(whole) } else { self = .double(number) }
            case .string(let text): self = .string(text)
            case .tuple(let items):
                // One level of tuples is what groupings use; deeper ones could hide exponential work.
                self = .tuple(
                    try items.elements.map { element in
                        if case .tuple = element { throw Fault.type("a tuple of tuples as a key") }
                        return try Key(element)
                    })
            case .range(let range):
                self = .range(
                    count: range.count, start: range.count > 0 ? range.start : 0, step: range.count > 1 ? range.step : 1
                )
            case .object(let object): self = .identity(ObjectIdentifier(object))
            case .undefined: self = .identity(ObjectIdentifier(Undefined.self))
            default: throw Fault.type("unhashable type: '\(value.typeName)'")
            }
        }
    }

    private static func nested(_ values: [Value]) throws -> Int {
        var depth = 0
        for value in values { depth = max(depth, value.depth) }
        if depth >= maximumValueDepth { throw Fault.limit("values nested more than \(maximumValueDepth) deep") }
        return depth + 1
    }
}

extension Jinja.Value {
    static func string(_ text: String) -> Self { .string(Jinja.TracedString(text)) }
    static func list(_ elements: [Self]) throws -> Self { .list(try Jinja.Items(elements)) }
    static func tuple(_ elements: [Self]) throws -> Self { .tuple(try Jinja.Items(elements)) }
    static func undefined(_ message: String) -> Self { .undefined(Jinja.Undefined(.undefined(message))) }

    /// How deeply other values lie inside.
    var depth: Int {
        switch self {
        case .list(let items), .tuple(let items): items.depth
        case .dictionary(let mapping): mapping.depth
        case .view(let view): view.mapping.depth + 1
        case .generator(let generator): generator.depth
        case .object(let object): object.depth
        default: 0
        }
    }

    var isUndefined: Bool {
        if case .undefined = self { true } else { false }
    }

    var isNone: Bool {
        if case .none = self { true } else { false }
    }

    /// Python's truth.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let flag): flag
        case .int(let number): number != 0
        case .double(let number): number != 0
        case .string(let text): !text.isEmpty
        case .list(let items), .tuple(let items): !items.elements.isEmpty
        case .dictionary(let mapping): mapping.count > 0
        case .range(let range): range.count > 0
        case .view(let view): view.mapping.count > 0
        case .generator, .object: true
        }
    }

    /// Python's name of the type, for messages.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .double: "float"
        case .string: "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .range: "range"
        case .view(let view): "dict_\(view.kind.rawValue)"
        case .generator: "generator"
        case .object(let object): object.typeName
        }
    }

    /// The number of a whole number or truth value.
    var wholeNumber: Int? {
        switch self {
        case .bool(let flag): flag ? 1 : 0
        case .int(let number): number
        default: nil
        }
    }

    /// The value of any number.
    var number: Double? {
        if case .double(let number) = self { return number }
        return wholeNumber.map(Double.init)
    }
}
