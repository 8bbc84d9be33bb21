/// The classes of Unicode scalars that pre-tokenizers ask for, as one byte a scalar.
///
/// The table is of the Unicode version that the Rust `tokenizers` library splits with (see
/// `Tests/Goldens/make_unicode_ranges.py`), so that a newer letter never joins a word here that is two words there.
enum UnicodeClass {
    static let letter: UInt8 = 1
    static let number: UInt8 = 2
    static let space: UInt8 = 4
    static let newline: UInt8 = 8
    /// May be changed by NFC, or join to the scalar before it.
    static let composing: UInt8 = 16

    /// Indexed by scalar value; 0x110000 entries.
    static let table: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 0x11_0000)
        func mark(_ ranges: [UInt32], _ bit: UInt8) {
            for index in stride(from: 0, to: ranges.count - 1, by: 2) {
                for scalar in ranges[index]...ranges[index + 1] { table[Int(scalar)] |= bit }
            }
        }
        mark(UnicodeRanges.letters, letter)
        mark(UnicodeRanges.numbers, number)
        mark(UnicodeRanges.whitespace, space)
        mark([0x0A, 0x0A, 0x0D, 0x0D], newline)
        mark(UnicodeRanges.composing, composing)
        return table
    }()
}

/// The scalar that starts at `index` of well-formed UTF-8, and the length of its encoding.
@inline(__always)
func decodeScalar(_ bytes: [UInt8], _ index: Int) -> (scalar: UInt32, length: Int) {
    let first = UInt32(bytes[index])
    if first < 0x80 { return (first, 1) }
    if first < 0xE0 { return ((first & 0x1F) << 6 | UInt32(bytes[index + 1]) & 0x3F, 2) }
    if first < 0xF0 {
        return ((first & 0x0F) << 12 | (UInt32(bytes[index + 1]) & 0x3F) << 6 | UInt32(bytes[index + 2]) & 0x3F, 3)
    }
    let high = (first & 0x07) << 18 | (UInt32(bytes[index + 1]) & 0x3F) << 12
    return (high | (UInt32(bytes[index + 2]) & 0x3F) << 6 | UInt32(bytes[index + 3]) & 0x3F, 4)
}

/// The scalar that ends just before `index`, and the length of its encoding.
@inline(__always)
func decodeScalarBefore(_ bytes: [UInt8], _ index: Int) -> (scalar: UInt32, length: Int) {
    var start = index - 1
    while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
    return decodeScalar(bytes, start)
}

/// Appends the UTF-8 of a scalar.
@inline(__always)
func appendScalar(_ scalar: Unicode.Scalar, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
}
