/// A strict reader of JSON (RFC 8259) that walks over bytes without building a tree.
///
/// It exists because a header must refuse what general readers let pass: a key twice, a number that is not a plain
/// size, text behind the value. The caller drives it, so nothing that the caller did not ask for is ever built.
package struct JSONCursor {
    package enum Fault: Error, Equatable {
        case syntax(String, offset: Int)
        case invalidUTF8(offset: Int)
    }

    private let bytes: UnsafeRawBufferPointer
    package private(set) var offset = 0

    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    // Every read goes through here: behind the end there is a zero, which no rule of the grammar accepts.
    private func byte(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }

    private func fault(_ what: String) -> Fault {
        .syntax(offset < bytes.count ? what : "\(what), found the end", offset: offset)
    }

    package mutating func skipSpace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case 0x20, 0x0A, 0x0D, 0x09: offset += 1
            default: return
            }
        }
    }

    /// The next byte that is not white space; 0 at the end.
    package mutating func peek() -> UInt8 {
        skipSpace()
        return byte(offset)
    }

    package mutating func expect(_ character: Unicode.Scalar) throws {
        guard peek() == UInt8(ascii: character), offset < bytes.count else { throw fault("expected '\(character)'") }
        offset += 1
    }

    package mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard offset < bytes.count, peek() == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    /// Passes over a word, if it stands next.
    package mutating func takeWord(_ text: StaticString) -> Bool {
        skipSpace()
        let count = text.utf8CodeUnitCount
        guard (0..<count).allSatisfy({ byte(offset + $0) == text.utf8Start[$0] }) else { return false }
        offset += count
        return true
    }

    /// Walks an object; `body` gets each key and must consume the value.
    package mutating func object(_ body: (inout JSONCursor, String) throws -> Void) throws {
        try expect("{")
        if take("}") { return }
        repeat {
            let key = try string()
            try expect(":")
            try body(&self, key)
        } while take(",")
        try expect("}")
    }

    /// Walks an array; `body` must consume each element.
    package mutating func array(_ body: (inout JSONCursor) throws -> Void) throws {
        try expect("[")
        if take("]") { return }
        repeat { try body(&self) } while take(",")
        try expect("]")
    }

    /// A whole number from 0 to `Int.max`, without sign, fraction, exponent or leading zero.
    package mutating func size() throws -> Int {
        skipSpace()
        let start = offset
        var value = 0
        while offset < bytes.count, case 0x30...0x39 = bytes[offset] {
            let (scaled, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = scaled.addingReportingOverflow(Int(bytes[offset] - 0x30))
            guard !tooLarge, !carried else { throw fault("a number above 63 bits") }
            value = sum
            offset += 1
        }
        guard offset > start else { throw fault("expected a whole number, not negative") }
        if offset - start > 1, bytes[start] == 0x30 { throw fault("a number with a leading zero") }
        switch byte(offset) {
        case 0x2E, 0x45, 0x65: throw fault("expected a whole number, not a fraction")
        default: return value
        }
    }

    /// Any number, as its text.
    package mutating func number() throws -> String {
        skipSpace()
        let start = offset
        while offset < bytes.count, offset - start < 64, Self.belongsToNumber(bytes[offset]) { offset += 1 }
        guard offset > start, let text = String(validating: bytes[start..<offset], as: UTF8.self), Double(text) != nil
        else { throw fault("expected a number") }
        return text
    }

    private static func belongsToNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x2B, 0x2D, 0x2E, 0x45, 0x65: true
        default: false
        }
    }

    /// A string, with its escapes resolved.
    package mutating func string() throws -> String {
        try expect("\"")
        let start = offset
        // Most strings have no escape: find the end, then take the bytes as they are.
        while offset < bytes.count {
            let current = bytes[offset]
            if current == UInt8(ascii: "\"") {
                guard let text = String(validating: bytes[start..<offset], as: UTF8.self) else {
                    throw Fault.invalidUTF8(offset: start)
                }
                offset += 1
                return text
            }
            if current == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard current >= 0x20 else { throw fault("a control character in a string") }
            offset += 1
        }
        throw fault("expected '\"'")
    }

    private mutating func escapedString(from start: Int) throws -> String {
        var units = [UInt8](bytes[start..<offset])
        while offset < bytes.count {
            let current = bytes[offset]
            switch current {
            case UInt8(ascii: "\""):
                offset += 1
                guard let text = String(validating: units, as: UTF8.self) else {
                    throw Fault.invalidUTF8(offset: start)
                }
                return text
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(into: &units)
            case 0..<0x20: throw fault("a control character in a string")
            default:
                units.append(current)
                offset += 1
            }
        }
        throw fault("expected '\"'")
    }

    private mutating func escape(into units: inout [UInt8]) throws {
        let kind = byte(offset)
        let plain: UInt8? =
            switch kind {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): kind
            case UInt8(ascii: "b"): 0x08
            case UInt8(ascii: "f"): 0x0C
            case UInt8(ascii: "n"): 0x0A
            case UInt8(ascii: "r"): 0x0D
            case UInt8(ascii: "t"): 0x09
            default: nil
            }
        if let plain {
            units.append(plain)
            offset += 1
            return
        }
        guard kind == UInt8(ascii: "u") else { throw fault("an unknown escape") }
        offset += 1
        var scalar = try fourHexDigits()
        if 0xD800..<0xDC00 ~= scalar, byte(offset) == UInt8(ascii: "\\"), byte(offset + 1) == UInt8(ascii: "u") {
            offset += 2
            let low = try fourHexDigits()
            guard 0xDC00..<0xE000 ~= low else { throw fault("half a surrogate pair") }
            scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let character = Unicode.Scalar(scalar) else { throw fault("half a surrogate pair") }
        units.append(contentsOf: String(character).utf8)
    }

    private mutating func fourHexDigits() throws -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(byte(offset))).hexDigitValue else {
                throw fault("expected four hexadecimal digits")
            }
            value = value << 4 + UInt32(digit)
            offset += 1
        }
        return value
    }

    /// Passes over any value, at most `depth` levels deep.
    package mutating func skipValue(depth: Int = 16) throws {
        guard depth > 0 else { throw fault("nested too deeply") }
        switch peek() {
        case UInt8(ascii: "{"): try object { cursor, _ in try cursor.skipValue(depth: depth - 1) }
        case UInt8(ascii: "["): try array { cursor in try cursor.skipValue(depth: depth - 1) }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try word("null")
        default: _ = try number()
        }
    }

    package mutating func word(_ text: StaticString) throws {
        for index in 0..<text.utf8CodeUnitCount {
            guard byte(offset) == text.utf8Start[index] else { throw fault("expected \(text)") }
            offset += 1
        }
    }

    /// Nothing but white space may follow.
    package mutating func end() throws {
        skipSpace()
        guard offset == bytes.count else { throw fault("text behind the value") }
    }
}
