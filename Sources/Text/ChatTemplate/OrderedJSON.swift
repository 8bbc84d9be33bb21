/// JSON that keeps the order of its members, which Foundation's reader loses and chat templates show.
///
/// Reading is strict (RFC 8259): no comments, no trailing commas, no `NaN`, no lone surrogates. Of members with one name
/// the last counts, at the place of the first.
public indirect enum OrderedJSON: Sendable, Hashable {
    case null
    case bool(Bool)
    case int(Int)
    /// Also whole numbers that do not fit 64 bits.
    case double(Double)
    case string(String)
    case array([OrderedJSON])
    case object([Member])

    public struct Member: Sendable, Hashable {
        public var key: String
        public var value: OrderedJSON

        public init(key: String, value: OrderedJSON) {
            self.key = key
            self.value = value
        }
    }

    /// Why a text is not JSON, and where; lines and columns (in bytes) count from 1.
    public struct ParseError: Error, Sendable, Hashable, CustomStringConvertible {
        public var message: String
        public var line: Int
        public var column: Int

        public var description: String { "line \(line), column \(column): \(message)" }
    }

    /// - Parameters:
    ///   - maximumBytes: longer texts are refused.
    ///   - maximumDepth: how many arrays and objects may lie in one another.
    public init(
        parsing bytes: some Collection<UInt8>, maximumBytes: Int = 64 << 20, maximumDepth: Int = 128
    ) throws(ParseError) {
        guard bytes.count <= maximumBytes else {
            throw ParseError(message: "more than \(maximumBytes) bytes", line: 1, column: 1)
        }
        var reader = OrderedJSONReader(bytes: Array(bytes), maximumDepth: maximumDepth)
        self = try reader.document()
    }

    public init(parsing text: String, maximumBytes: Int = 64 << 20, maximumDepth: Int = 128) throws(ParseError) {
        try self.init(parsing: text.utf8, maximumBytes: maximumBytes, maximumDepth: maximumDepth)
    }

    /// The member `key` of an object; `nil` for anything else.
    public subscript(key: String) -> OrderedJSON? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key == key }?.value
    }

    public var string: String? {
        if case .string(let text) = self { text } else { nil }
    }
}

private struct OrderedJSONReader {
    typealias ParseError = OrderedJSON.ParseError

    let bytes: [UInt8]
    let maximumDepth: Int
    private var index = 0

    init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    private func error(_ message: String, at place: Int? = nil) -> ParseError {
        let before = bytes[..<min(place ?? index, bytes.count)]
        let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        return ParseError(
            message: message, line: before.reduce(1) { $0 + ($1 == 0x0A ? 1 : 0) },
            column: before.count - lineStart + 1)
    }

    private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        index += 1
        return true
    }

    mutating func document() throws(ParseError) -> OrderedJSON {
        // A byte-order mark, which some editors leave.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { index = 3 }
        skipSpace()
        let result = try value(depth: 0)
        skipSpace()
        if index < bytes.count { throw error("text after the end of the value") }
        return result
    }

    private mutating func value(depth: Int) throws(ParseError) -> OrderedJSON {
        guard let byte = current else { throw error("the text ends where a value should stand") }
        switch byte {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw error("a value should stand here")
        }
    }

    private mutating func word(_ text: String, _ result: OrderedJSON) throws(ParseError) -> OrderedJSON {
        guard bytes[index...].starts(with: text.utf8) else { throw error("a value should stand here") }
        index += text.utf8.count
        return result
    }

    private mutating func array(depth: Int) throws(ParseError) -> OrderedJSON {
        if depth >= maximumDepth { throw error("nested more than \(maximumDepth) deep") }
        index += 1
        var result: [OrderedJSON] = []
        skipSpace()
        if skip(UInt8(ascii: "]")) { return .array(result) }
        while true {
            skipSpace()
            result.append(try value(depth: depth + 1))
            skipSpace()
            if skip(UInt8(ascii: "]")) { return .array(result) }
            guard skip(UInt8(ascii: ",")) else { throw error("',' or ']' should stand here") }
        }
    }

    private mutating func object(depth: Int) throws(ParseError) -> OrderedJSON {
        if depth >= maximumDepth { throw error("nested more than \(maximumDepth) deep") }
        index += 1
        var result: [OrderedJSON.Member] = []
        var places: [String: Int] = [:]
        skipSpace()
        if skip(UInt8(ascii: "}")) { return .object(result) }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw error("a name in quotes should stand here") }
            let key = try string()
            skipSpace()
            guard skip(UInt8(ascii: ":")) else { throw error("':' should stand here") }
            skipSpace()
            let member = OrderedJSON.Member(key: key, value: try value(depth: depth + 1))
            // Swift's strings compare canonically; names are the same only when their bytes are.
            if let place = places[key], result[place].key.utf8.elementsEqual(key.utf8) {
                result[place] = member
            } else {
                places[key] = result.count
                result.append(member)
            }
            skipSpace()
            if skip(UInt8(ascii: "}")) { return .object(result) }
            guard skip(UInt8(ascii: ",")) else { throw error("',' or '}' should stand here") }
        }
    }

    private mutating func number() throws(ParseError) -> OrderedJSON {
        let start = index
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { $0 >= 0x30 && $0 <= 0x39 } ?? false }
        _ = skip(UInt8(ascii: "-"))
        guard isDigit(current) else { throw error("a digit should stand here") }
        if !skip(UInt8(ascii: "0")) { while isDigit(current) { index += 1 } }
        var isWhole = true
        if current == UInt8(ascii: ".") {
            isWhole = false
            index += 1
            guard isDigit(current) else { throw error("a digit should stand here") }
            while isDigit(current) { index += 1 }
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            isWhole = false
            index += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { index += 1 }
            guard isDigit(current) else { throw error("a digit should stand here") }
            while isDigit(current) { index += 1 }
        }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if isWhole, let number = Int(text) { return .int(number) }
        guard let number = Double(text), number.isFinite else { throw error("a number too large", at: start) }
        return .double(number)
    }

    private mutating func string() throws(ParseError) -> String {
        let open = index
        index += 1
        var result: [UInt8] = []
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                guard let text = String(validating: result, as: UTF8.self) else {
                    throw error("a string that is not UTF-8", at: open)
                }
                return text
            case UInt8(ascii: "\\"):
                index += 1
                try escape(into: &result)
            case ..<0x20: throw error("a control character in a string")
            default:
                result.append(byte)
                index += 1
            }
        }
        throw error("a string that is not closed", at: open)
    }

    private mutating func escape(into result: inout [UInt8]) throws(ParseError) {
        guard let byte = current else { throw error("the text ends inside of an escape") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"):
            let place = index - 2
            var code = UInt32(try hexadecimal())
            if code & 0xFC00 == 0xD800, current == UInt8(ascii: "\\"), index + 1 < bytes.count,
                bytes[index + 1] == UInt8(ascii: "u")
            {
                index += 2
                let low = UInt32(try hexadecimal())
                guard low & 0xFC00 == 0xDC00 else { throw error("half of a surrogate pair", at: place) }
                code = 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("half of a surrogate pair", at: place) }
            result.append(contentsOf: Array(String(scalar).utf8))
        default: throw error("an escape that JSON does not have", at: index - 2)
        }
    }

    private mutating func hexadecimal() throws(ParseError) -> UInt16 {
        var result: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw error("four hexadecimal digits should stand here")
            }
            result = result << 4 | UInt16(digit)
            index += 1
        }
        return result
    }
}
