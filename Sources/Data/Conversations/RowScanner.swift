/// Finds the rows of a file that comes in pieces: its lines, or the elements of the one list that it is.
struct RowScanner {
    /// A list without its end.
    struct Unfinished: Error {}

    private var rows: [(range: Range<Int>, line: Int)] = []
    private var position = 0
    /// Whether the file is one list; nil before anything was seen.
    private var isList: Bool?
    // Lines.
    private var line = 1
    private var start = 0
    private var isBlank = true
    // Lists.
    private var depth = 0
    private var isInString = false
    private var isEscaped = false

    mutating func scan(_ bytes: [UInt8]) {
        for byte in bytes {
            if isList == nil {
                // A byte order mark and blanks stand before the first row.
                if byte == 0xEF || byte == 0xBB || byte == 0xBF {
                    start = position + 1
                } else if !Self.isSpace(byte) {
                    isList = byte == UInt8(ascii: "[")
                }
            }
            if isList == true { scanList(byte) } else { scanLine(byte) }
            position += 1
        }
    }

    mutating func finish() throws(Unfinished) -> [(range: Range<Int>, line: Int)] {
        if isList == true {
            guard depth == 0, !isInString else { throw Unfinished() }
        } else if !isBlank {
            rows.append((start..<position, line))
        }
        return rows
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    private mutating func scanLine(_ byte: UInt8) {
        guard byte == UInt8(ascii: "\n") else {
            if isList != nil, !Self.isSpace(byte) { isBlank = false }
            return
        }
        if !isBlank { rows.append((start..<position, line)) }
        start = position + 1
        line += 1
        isBlank = true
    }

    /// Elements are told apart by their brackets alone: each is checked when it is read.
    private mutating func scanList(_ byte: UInt8) {
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString = false
            }
            return
        }
        switch byte {
        case UInt8(ascii: "\""): isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            if depth == 1 { start = position }
            depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            depth -= 1
            if depth == 1 { rows.append((start..<position + 1, rows.count + 1)) }
        default: break
        }
    }
}
