/// A value that a template is given.
public indirect enum TemplateValue: Sendable, Hashable {
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    /// Text that knows where it came from; what a user typed should be `.data`.
    case string(TaggedText)
    case list([TemplateValue])
    case dictionary(TemplateDictionary)

    /// Text that the program vouches for.
    public static func string(_ text: String) -> TemplateValue { .string(TaggedText(text, .template)) }

    /// Text that came from outside, under the number its owner gave it.
    public static func data(_ text: String, _ number: Int) -> TemplateValue { .string(TaggedText(text, .data(number))) }

    /// The value of a piece of JSON, every string of which, keys included, came from `source`.
    public init(json: OrderedJSON, source: TaggedText.Source = .template) {
        switch json {
        case .null: self = .none
        case .bool(let flag): self = .bool(flag)
        case .int(let number): self = .int(number)
        case .double(let number): self = .double(number)
        case .string(let text): self = .string(TaggedText(text, source))
        case .array(let elements): self = .list(elements.map { TemplateValue(json: $0, source: source) })
        case .object(let members):
            self = .dictionary(
                TemplateDictionary(
                    members.map {
                        .init(key: TaggedText($0.key, source), value: TemplateValue(json: $0.value, source: source))
                    }))
        }
    }
}

extension TemplateValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(arrayLiteral elements: TemplateValue...) { self = .list(elements) }
    public init(dictionaryLiteral elements: (String, TemplateValue)...) {
        self = .dictionary(TemplateDictionary(elements))
    }
    public init(nilLiteral: ()) { self = .none }
}

/// Named values in order. Of several with one name the last counts, at the place of the first, as in Python.
public struct TemplateDictionary: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    public struct Entry: Sendable, Hashable {
        public var key: TaggedText
        public var value: TemplateValue

        public init(key: TaggedText, value: TemplateValue) {
            self.key = key
            self.value = value
        }
    }

    public var entries: [Entry]

    public init(_ entries: [Entry] = []) { self.entries = entries }

    /// With keys that the program vouches for.
    public init(_ pairs: [(String, TemplateValue)]) {
        entries = pairs.map { Entry(key: TaggedText($0.0, .template), value: $0.1) }
    }

    public init(dictionaryLiteral elements: (String, TemplateValue)...) { self.init(elements) }

    /// The value under `name`; setting `nil` removes it. Looks through the entries one by one.
    public subscript(name: String) -> TemplateValue? {
        get { entries.last { $0.key.string == name }?.value }
        set {
            if let newValue {
                if let index = entries.lastIndex(where: { $0.key.string == name }) {
                    entries[index].value = newValue
                } else {
                    entries.append(Entry(key: TaggedText(name, .template), value: newValue))
                }
            } else {
                entries.removeAll { $0.key.string == name }
            }
        }
    }
}

extension Jinja {
    /// A value of the caller's in the form that rendering works with, and how many scalars it holds.
    static func value(_ value: TemplateValue, size: inout Int, depth: Int = 0) throws -> Value {
        if depth >= maximumValueDepth { throw Fault.limit("values nested more than \(maximumValueDepth) deep") }
        switch value {
        case .none: return .none
        case .bool(let flag): return .bool(flag)
        case .int(let number): return .int(number)
        case .double(let number): return .double(number)
        case .string(let text):
            let traced = TracedString(text)
            size += traced.count
            return .string(traced)
        case .list(let elements):
            size += 8 * elements.count
            return try .list(try elements.map { try Jinja.value($0, size: &size, depth: depth + 1) })
        case .dictionary(let dictionary):
            size += 32 * dictionary.entries.count
            return .dictionary(
                try Mapping(
                    try dictionary.entries.map { entry in
                        let key = TracedString(entry.key)
                        size += key.count
                        return (.string(key), try Jinja.value(entry.value, size: &size, depth: depth + 1))
                    }))
        }
    }
}
