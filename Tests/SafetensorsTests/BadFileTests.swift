import Foundation
import Safetensors
import TestSupport
import Testing

/// A file that must be refused, and as what.
struct BadFile: Sendable, CustomStringConvertible {
    var description: String
    var reason: String
    var make: @Sendable () -> [UInt8]

    init(_ description: String, _ reason: String, _ make: @escaping @Sendable () -> [UInt8]) {
        (self.description, self.reason, self.make) = (description, reason, make)
    }

    init(_ description: String, _ reason: String, header: String, data: Int = 8) {
        self.init(description, reason) { fileImage(header, data: data) }
    }

    init(_ description: String, _ reason: String, entry: String, data: Int = 8) {
        self.init(description, reason, header: "{\(entry)}", data: data)
    }
}

private let maximum = SafetensorsHeader.maximumLength
private let deep = String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000)
private let many = (0..<1_000_000).map { entry("\($0)", "U8", "[0]", "[0,0]") }

let badFiles: [BadFile] = [
    // The length and the bounds of the header.
    .init("empty file", "fileTooSmall") { [] },
    .init("seven bytes", "fileTooSmall") { [UInt8](repeating: 0, count: 7) },
    .init("length 0", "headerTooSmall") { fileImage("", length: 0) },
    .init("length 1", "headerTooSmall") { fileImage("{", length: 1) },
    .init("length one beyond the file", "headerBeyondFile") { fileImage("{}", length: 3) },
    .init("length without a header", "headerBeyondFile") { fileImage("", length: 2) },
    .init("length at the limit, short file", "headerBeyondFile") { fileImage("{}", length: UInt64(maximum)) },
    .init("length one above the limit", "headerTooLarge") { fileImage("{}", length: UInt64(maximum) + 1) },
    .init("length with the sign bit", "headerTooLarge") { fileImage("{}", length: 1 << 63) },
    .init("length of all ones", "headerTooLarge") { fileImage("{}", length: .max) },
    .init("length that wraps when 8 is added", "headerTooLarge") { fileImage("{}", length: .max - 7) },
    // The first byte, the padding, the encoding.
    .init("space before the header", "headerStart", header: " {}", data: 0),
    .init("an array", "headerStart", header: "[]", data: 0),
    .init("a zip", "headerStart") { [0x50, 0x4B, 3, 4] + [UInt8](repeating: 0, count: 4) + [0x50, 0x4B, 1, 1] + [0] }
        .asTooLarge(),
    .init("a byte order mark", "headerStart", header: "\u{FEFF}{}", data: 0),
    .init("zero padding", "invalidJSON", header: "{}\0\0\0\0\0\0", data: 0),
    .init("a second object", "invalidJSON", header: "{}{}", data: 0),
    .init("a comment", "invalidJSON", header: "{}//x", data: 0),
    .init("an unfinished object", "invalidJSON", header: "{ ", data: 0),
    .init("a comma at the end", "invalidJSON", header: "{\(entry("a")),}"),
    .init("a comma at the start", "invalidJSON", header: "{,\(entry("a"))}"),
    .init("a missing colon", "invalidJSON", header: "{\"a\" {}}"),
    .init("a key without quotes", "invalidJSON", header: "{a:{}}"),
    .init("single quotes", "invalidJSON", header: "{'a':{}}"),
    .init("an unfinished string", "invalidJSON", header: "{\"a"),
    .init("a line break in a name", "invalidJSON", entry: entry("a\nb")),
    .init("an unknown escape", "invalidJSON", entry: entry("a\\x41")),
    .init("a cut escape", "invalidJSON", header: "{\"a\\"),
    .init("a cut unicode escape", "invalidJSON", entry: entry("\\u00")),
    .init("half a surrogate pair", "invalidJSON", entry: entry("\\ud800")),
    .init("a surrogate pair the wrong way", "invalidJSON", entry: entry("\\udc00\\ud800")),
    .init("a high surrogate twice", "invalidJSON", entry: entry("\\ud800\\ud800")),
    .init("a broken UTF-8 name", "invalidUTF8") { fileImage([0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x7B, 0x7D, 0x7D]) },
    .init("an overlong UTF-8 name", "invalidUTF8") {
        fileImage([0x7B, 0x22, 0xC0, 0xAF, 0x22, 0x3A, 0x7B, 0x7D, 0x7D])
    },
    .init("a surrogate in UTF-8", "invalidUTF8") { fileImage([0x7B, 0x22, 0xED, 0xA0, 0x80, 0x22, 0x3A, 0x7D]) },
    .init("a cut UTF-8 name after an escape", "invalidUTF8") { fileImage([0x7B, 0x22, 0x5C, 0x6E, 0xE2, 0x22, 0x7D]) },
    // Names.
    .init("a name twice", "duplicateKey", header: "{\(entry("a")),\(entry("a"))}"),
    .init("a name twice, once escaped", "duplicateKey", header: "{\(entry("a")),\(entry("\\u0061"))}"),
    .init("no name", "unusableName", entry: entry("")),
    .init("a NUL in a name", "unusableName", entry: entry("a\\u0000b")),
    .init("a terminal escape in a name", "unusableName", entry: entry("\\u001b[2J")),
    .init("an absolute path as a name", "unusableName", entry: entry("/etc/passwd")),
    .init("a climbing path as a name", "unusableName", entry: entry("../../x")),
    .init("a path that climbs later", "unusableName", entry: entry("a/../b")),
    .init("a name of 4097 bytes", "unusableName", entry: entry(String(repeating: "a", count: 4097))),
    .init("a million names", "tooManyKeys") { fileImage("{\(many.joined(separator: ","))}") },
    // Metadata.
    .init("metadata twice", "duplicateKey", header: "{\"__metadata__\":{},\"__metadata__\":{}}", data: 0),
    .init("a metadata key twice", "duplicateKey", header: "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", data: 0),
    .init("metadata that is a string", "invalidMetadata", header: "{\"__metadata__\":\"x\"}", data: 0),
    .init("metadata that is null", "invalidMetadata", header: "{\"__metadata__\":null}", data: 0),
    .init("a number in metadata", "invalidMetadata", header: "{\"__metadata__\":{\"a\":1}}", data: 0),
    .init("an object in metadata", "invalidMetadata", header: "{\"__metadata__\":{\"a\":{}}}", data: 0),
    .init("deep metadata", "invalidMetadata", header: "{\"__metadata__\":{\"a\":\(deep)}}", data: 0),
    // Entries.
    .init("an entry that is a number", "invalidEntry", entry: "\"a\":1"),
    .init("an entry that is null", "invalidEntry", entry: "\"a\":null"),
    .init("an entry 10000 arrays deep", "invalidEntry", entry: "\"a\":\(deep)"),
    .init("a shape 10000 arrays deep", "invalidEntry", entry: entry("a", "F32", deep)),
    .init("an unknown field 10000 arrays deep", "invalidEntry", entry: "\"a\":{\"x\":\(deep)}"),
    .init("an empty entry", "invalidEntry", entry: "\"a\":{}"),
    .init("no dtype", "invalidEntry", entry: "\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}"),
    .init("no shape", "invalidEntry", entry: "\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}"),
    .init("no offsets", "invalidEntry", entry: "\"a\":{\"dtype\":\"F32\",\"shape\":[2]}"),
    .init("a field twice", "duplicateKey", entry: "\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}"),
    .init("a shape twice", "duplicateKey", entry: "\"a\":{\"shape\":[2],\"shape\":[2]}"),
    .init("an unknown dtype", "unknownDType", entry: entry("a", "F31")),
    .init("a dtype in small letters", "unknownDType", entry: entry("a", "f32")),
    .init("a dtype that is a number", "invalidEntry", entry: "\"a\":{\"dtype\":32}"),
    .init("a negative dimension", "invalidEntry", entry: entry("a", "F32", "[-2]")),
    .init("a fraction as dimension", "invalidEntry", entry: entry("a", "F32", "[2.0]")),
    .init("an exponent as dimension", "invalidEntry", entry: entry("a", "F32", "[1e30]")),
    .init("a leading zero", "invalidEntry", entry: entry("a", "F32", "[02]")),
    .init("a string as dimension", "invalidEntry", entry: entry("a", "F32", "[\"2\"]")),
    .init("a dimension above 63 bits", "invalidEntry", entry: entry("a", "F32", "[9223372036854775808]")),
    .init("a dimension above 64 bits", "invalidEntry", entry: entry("a", "F32", "[18446744073709551618]")),
    .init("a shape that is a number", "invalidEntry", entry: entry("a", "F32", "2")),
    .init("65 dimensions", "tooManyDimensions") {
        fileImage("{\(entry("a", "F32", "[\((0..<65).map { _ in "1" }.joined(separator: ","))]", "[0,4]"))}", data: 4)
    },
    .init("a product above 63 bits", "shapeOverflow", entry: entry("a", "F32", "[4294967296,4294967296]")),
    .init(
        "a product that wraps to the right size", "shapeOverflow", entry: entry("a", "U8", "[4294967296,4294967296,8]")),
    .init("a product that wraps, times zero", "shapeOverflow", entry: entry("a", "U8", "[9223372036854775807,2,0]")),
    .init("bits above 63 bits", "shapeOverflow", entry: entry("a", "U8", "[2305843009213693952]")),
    .init("three packed 4-bit elements", "partialByte", entry: entry("a", "F4", "[3]", "[0,2]"), data: 2),
    // Offsets.
    .init("one offset", "invalidEntry", entry: entry("a", "F32", "[2]", "[0]")),
    .init("three offsets", "invalidEntry", entry: entry("a", "F32", "[2]", "[0,8,8]")),
    .init("no offset", "invalidEntry", entry: entry("a", "F32", "[2]", "[]")),
    .init("a negative offset", "invalidEntry", entry: entry("a", "F32", "[2]", "[-8,0]")),
    .init("offsets reversed", "offsetsReversed", entry: entry("a", "F32", "[2]", "[8,0]")),
    .init("one byte less than the shape", "sizeMismatch", entry: entry("a", "F32", "[2]", "[0,7]"), data: 7),
    .init("one byte more than the shape", "sizeMismatch", entry: entry("a", "F32", "[2]", "[0,9]"), data: 9),
    .init("a scalar of no bytes", "sizeMismatch", entry: entry("a", "F32", "[]", "[0,0]"), data: 0),
    .init("a zero shape with bytes", "sizeMismatch", entry: entry("a", "F32", "[0]", "[0,8]")),
    .init("two tensors of the same bytes", "overlap", header: "{\(entry("a")),\(entry("b"))}"),
    .init(
        "an overlap of one byte", "overlap",
        header: "{\(entry("a", "U8", "[4]", "[0,4]")),\(entry("b", "U8", "[5]", "[3,8]"))}"),
    .init(
        "a hole of one byte", "hole",
        header: "{\(entry("a", "U8", "[3]", "[0,3]")),\(entry("b", "U8", "[4]", "[4,8]"))}"),
    .init("a hole at the start", "hole", entry: entry("a", "U8", "[7]", "[1,8]")),
    .init("an empty tensor far out", "hole", entry: entry("a", "U8", "[0]", "[8,8]")),
    .init("bytes behind the last tensor", "dataLength", entry: entry("a"), data: 9),
    .init("a file one byte short", "dataLength", entry: entry("a"), data: 7),
    .init("data without tensors", "dataLength", header: "{}", data: 1),
    .init("a file without its data", "dataLength", entry: entry("a"), data: 0),
    .init(
        "an end near the largest number", "shapeOverflow",
        entry: entry("a", "U8", "[0]", "[9223372036854775807,9223372036854775807]")),
]

extension BadFile {
    /// The same bytes, whose first eight are read as a length.
    fileprivate func asTooLarge() -> BadFile {
        BadFile(description, "headerTooLarge") { [0x50, 0x4B, 3, 4, 20, 0, 8, 8] + make() }
    }
}

@Suite(.serialized) struct BadFileTests {
    @Test(arguments: badFiles)
    func isRefused(_ bad: BadFile) throws {
        let bytes = bad.make()
        // The processor's time, and the least growth of several attempts: other tests run beside this one.
        let before = ProcessMemory.residentBytes
        let seconds = ProcessTime.threadSeconds
        let error = #expect(throws: SafetensorsError.self) { _ = try read(bytes) }
        #expect(ProcessTime.threadSeconds - seconds < 1)
        if let before, let after = ProcessMemory.residentBytes, after - before >= 50_000_000 {
            let growth = (0..<5).map { _ in
                let before = ProcessMemory.residentBytes ?? 0
                _ = try? read(bytes)
                return (ProcessMemory.residentBytes ?? 0) - before
            }
            #expect(growth.contains { $0 < 50_000_000 })
        }
        guard let error else { return }
        #expect(caseName(error.reason) == bad.reason, "\(error)")
        #expect(error.file == "test.safetensors")
        #expect(error.description.hasPrefix("test.safetensors"))
        #expect(!error.description.unicodeScalars.contains { $0.value < 0x20 })
    }

    @Test func thereAreAtLeastSixtyAndEachIsAnother() {
        #expect(badFiles.count >= 60)
        #expect(Set(badFiles.map(\.description)).count == badFiles.count)
    }

    @Test func whatIsLegalIsAccepted() throws {
        let legal: [(String, Int)] = [
            ("{}", 0), ("{}      ", 0), ("{\n \"__metadata__\" : { } }\t\r\n", 0),
            ("{\(entry("a"))}", 8), ("{\(entry("scalar", "F64", "[]", "[0,8]"))}", 8),
            ("{\(entry("none", "F32", "[3,0]", "[0,0]"))}", 0),
            ("{\(entry("none", "F32", "[0]", "[8,8]")),\(entry("a"))}", 8),
            (
                "{\(entry("none", "F32", "[0]", "[4,4]")),\(entry("a", "U8", "[4]", "[0,4]")),\(entry("b", "U8", "[4]", "[4,8]"))}",
                8
            ),
            ("{\(entry("packed", "F4", "[16]", "[0,8]"))}", 8), ("{\(entry("six", "F6_E2M3", "[4]", "[0,3]"))}", 3),
            ("{\(entry("größe 🙂", "I64", "[1]", "[0,8]"))}", 8),
            ("{\(entry("\\ud83d\\ude42\\/\\\"", "I64", "[1]", "[0,8]"))}", 8),
            ("{\"a\":{\"data_offsets\":[0,8],\"shape\":[2],\"dtype\":\"F32\"}}", 8),
        ]
        for (header, data) in legal {
            #expect(throws: Never.self, "\(header)") { try read(fileImage(header, data: data)) }
        }
        let escaped = try read(fileImage("{\(entry("\\ud83d\\ude42\\/\\\"", "I64", "[1]", "[0,8]"))}", data: 8))
        #expect(escaped.names == ["🙂/\""])
    }

    @Test func everyDTypeHasItsSize() throws {
        for dtype in StoredDType.allCases {
            let header = "{\(entry("a", dtype.rawValue, "[8]", "[0,\(dtype.bitCount)]"))}"
            #expect(try read(fileImage(header, data: dtype.bitCount)).entries["a"]?.dtype == dtype)
        }
    }
}
