import Safetensors

/// A JSON value of a golden file, for reading cases: `golden.json["cases"]["single_image"]["input_ids"].ints`.
///
/// Looking for what is not there gives `.null`, so that a chain needs one check at its end.
public enum GoldenJSON: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([GoldenJSON])
    case object([String: GoldenJSON])

    /// Reads a JSON text.
    ///
    /// Besides what JSON allows, the `NaN`, `Infinity` and `-Infinity` that Python writes are numbers.
    ///
    /// - Throws: where it is not valid JSON, has a key twice or nests deeper than 64 levels.
    public init(_ bytes: UnsafeRawBufferPointer) throws {
        var cursor = JSONCursor(bytes)
        self = try Self.value(&cursor, depth: 64)
        try cursor.end()
    }

    /// Reads a JSON file.
    ///
    /// - Throws: as `init(_:)`; `FileSystemError` if it cannot be opened.
    public init(path: String) throws {
        let file = try MappedFile(path: path)
        self = try withExtendedLifetime(file) { try GoldenJSON(file.bytes) }
    }

    private static func value(_ cursor: inout JSONCursor, depth: Int) throws -> GoldenJSON {
        guard depth > 0 else { throw JSONCursor.Fault.syntax("nested too deeply", offset: cursor.offset) }
        switch cursor.peek() {
        case UInt8(ascii: "{"):
            var fields: [String: GoldenJSON] = [:]
            try cursor.object { cursor, key in
                guard fields.updateValue(try value(&cursor, depth: depth - 1), forKey: key) == nil else {
                    throw JSONCursor.Fault.syntax("the key '\(key)' stands twice", offset: cursor.offset)
                }
            }
            return .object(fields)
        case UInt8(ascii: "["):
            var items: [GoldenJSON] = []
            try cursor.array { cursor in items.append(try value(&cursor, depth: depth - 1)) }
            return .array(items)
        case UInt8(ascii: "\""): return .string(try cursor.string())
        case UInt8(ascii: "t"):
            try cursor.word("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try cursor.word("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try cursor.word("null")
            return .null
        case UInt8(ascii: "N"):
            try cursor.word("NaN")
            return .number(.nan)
        case UInt8(ascii: "I"):
            try cursor.word("Infinity")
            return .number(.infinity)
        default:
            if cursor.takeWord("-Infinity") { return .number(-.infinity) }
            let text = try cursor.number()
            if let whole = Int(text) { return .integer(whole) }
            return .number(Double(text) ?? .nan)
        }
    }

    /// A field of an object.
    public subscript(key: String) -> GoldenJSON {
        if case .object(let fields) = self { return fields[key] ?? .null }
        return .null
    }

    /// An element of an array.
    public subscript(index: Int) -> GoldenJSON {
        if case .array(let items) = self, items.indices.contains(index) { return items[index] }
        return .null
    }

    /// Whether nothing is here.
    public var isNull: Bool { self == .null }
    /// The text, if this is one.
    public var string: String? {
        if case .string(let text) = self { return text }
        return nil
    }
    /// The truth value, if this is one.
    public var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }
    /// The whole number, if this is one, however it is written: `3`, `3.0` or `3e0`.
    public var int: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }
    /// The number, if this is one.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
    /// The elements, if this is an array.
    public var array: [GoldenJSON]? {
        if case .array(let items) = self { return items }
        return nil
    }
    /// The fields, if this is an object.
    public var object: [String: GoldenJSON]? {
        if case .object(let fields) = self { return fields }
        return nil
    }
    /// The elements, if this is an array of whole numbers only.
    public var ints: [Int]? { all(\.int) }
    /// The elements, if this is an array of numbers only.
    public var doubles: [Double]? { all(\.double) }
    /// The elements, if this is an array of strings only.
    public var strings: [String]? { all(\.string) }

    private func all<Element>(_ read: (GoldenJSON) -> Element?) -> [Element]? {
        guard let array else { return nil }
        let elements = array.compactMap(read)
        return elements.count == array.count ? elements : nil
    }
}
