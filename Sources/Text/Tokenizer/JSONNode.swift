/// A JSON value whose strings stay bytes.
///
/// Tokenizer files need this: Swift's strings are equal when they are canonically equivalent, while a vocabulary tells
/// "é" in one scalar from "é" in two, and a large vocabulary should not pass through dictionaries of objects.
indirect enum JSONNode: Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string([UInt8])
    case array([JSONNode])
    case object([JSONMember])

    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

struct JSONMember: Sendable {
    var key: [UInt8]
    var value: JSONNode
}

/// A strict JSON parser with limits on depth and, through the caller, on size.
struct JSONParser {
    private let bytes: [UInt8]
    private let file: String
    private var index = 0
    private static let depthLimit = 128

    /// - Throws: `TokenizerError.malformed` naming the file and the byte.
    static func parse(_ bytes: [UInt8], file: String) throws(TokenizerError) -> JSONNode {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw .malformed(file: file, reason: "it is not UTF-8")
        }
        var parser = JSONParser(bytes: bytes, file: file)
        let node = try parser.value(depth: 0)
        parser.skipSpace()
        if parser.index != bytes.count { throw parser.error("something follows the value") }
        return node
    }

    private init(bytes: [UInt8], file: String) {
        self.bytes = bytes
        self.file = file
    }

    private func error(_ reason: String) -> TokenizerError {
        .malformed(file: file, reason: "\(reason) at byte \(index)")
    }

    private mutating func skipSpace() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x0A, 0x0D, 0x09: index += 1
            default: return
            }
        }
    }

    private mutating func expect(_ byte: UInt8) throws(TokenizerError) {
        guard index < bytes.count, bytes[index] == byte else {
            throw error("expected \(Character(Unicode.Scalar(byte)))")
        }
        index += 1
    }

    private mutating func word(_ text: StaticString, _ node: JSONNode) throws(TokenizerError) -> JSONNode {
        for byte in Array(text.description.utf8) { try expect(byte) }
        return node
    }

    private mutating func value(depth: Int) throws(TokenizerError) -> JSONNode {
        if depth > Self.depthLimit { throw error("nested deeper than \(Self.depthLimit)") }
        skipSpace()
        guard index < bytes.count else { throw error("unexpected end") }
        switch bytes[index] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return .number(try number())
        }
    }

    private mutating func object(depth: Int) throws(TokenizerError) -> JSONNode {
        var members: [JSONMember] = []
        index += 1
        skipSpace()
        if index < bytes.count, bytes[index] == UInt8(ascii: "}") {
            index += 1
            return .object(members)
        }
        while true {
            skipSpace()
            let key = try string()
            skipSpace()
            try expect(UInt8(ascii: ":"))
            members.append(JSONMember(key: key, value: try value(depth: depth + 1)))
            skipSpace()
            if index < bytes.count, bytes[index] == UInt8(ascii: ",") {
                index += 1
                continue
            }
            try expect(UInt8(ascii: "}"))
            return .object(members)
        }
    }

    private mutating func array(depth: Int) throws(TokenizerError) -> JSONNode {
        var items: [JSONNode] = []
        index += 1
        skipSpace()
        if index < bytes.count, bytes[index] == UInt8(ascii: "]") {
            index += 1
            return .array(items)
        }
        while true {
            items.append(try value(depth: depth + 1))
            skipSpace()
            if index < bytes.count, bytes[index] == UInt8(ascii: ",") {
                index += 1
                continue
            }
            try expect(UInt8(ascii: "]"))
            return .array(items)
        }
    }

    private mutating func number() throws(TokenizerError) -> Double {
        let start = index
        while index < bytes.count, "+-.eE0123456789".utf8.contains(bytes[index]) { index += 1 }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        guard let value = Double(text), value.isFinite else {
            index = start
            throw error("expected a value")
        }
        return value
    }

    private mutating func string() throws(TokenizerError) -> [UInt8] {
        try expect(UInt8(ascii: "\""))
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "\\"),
            bytes[index] >= 0x20
        {
            index += 1
        }
        var result = Array(bytes[start..<index])
        while true {
            guard index < bytes.count else { throw error("a string does not end") }
            let byte = bytes[index]
            if byte < 0x20 { throw error("a control character in a string") }
            index += 1
            if byte == UInt8(ascii: "\"") { return result }
            if byte == UInt8(ascii: "\\") { try escape(into: &result) } else { result.append(byte) }
        }
    }

    private mutating func escape(into result: inout [UInt8]) throws(TokenizerError) {
        guard index < bytes.count else { throw error("a string does not end") }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"):
            var value = try hexadecimal()
            if value >= 0xD800, value < 0xDC00 {
                try expect(UInt8(ascii: "\\"))
                try expect(UInt8(ascii: "u"))
                let low = try hexadecimal()
                guard low >= 0xDC00, low < 0xE000 else { throw error("half of a surrogate pair") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw error("half of a surrogate pair") }
            appendScalar(scalar, to: &result)
        default: throw error("an unknown escape")
        }
    }

    private mutating func hexadecimal() throws(TokenizerError) -> UInt32 {
        guard index + 4 <= bytes.count else { throw error("a string does not end") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue, bytes[index] < 0x80 else {
                throw error("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }
}
