import Foundation
import TestSupport

@testable import Text

/// A folder with a tokenizer and its `tokenizer_golden.json`.
struct TokenizerGoldens {
    let folder: String
    let golden: JSONField

    init(_ name: String) throws {
        folder = try Fixtures.path(name)
        golden = try Self.json(folder + "/tokenizer_golden.json")
    }

    static func json(_ path: String) throws -> JSONField {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        return JSONField(node: try JSONParser.parse(bytes, file: path), path: "")
    }

    func cases(_ name: String) throws -> [JSONField] { try golden.required(name).items() }
}

extension JSONField {
    func ids(_ name: String) throws -> [Int32] {
        try required(name).items().map { Int32(try $0.integer(below: 1 << 22)) }
    }

    /// The text of a case, from `utf8_hex` where present.
    func text() throws -> String {
        guard let hex = try optional("utf8_hex") else { return try string("text") }
        let digits = try hex.bytes()
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Equality of strings by their bytes; Swift's own is by canonical equivalence.
func sameBytes(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }

extension SeededGenerator {
    /// Text in many scripts, with white space, controls and unassigned scalars among it.
    mutating func text(scalars count: Int) -> String {
        var result = String.UnicodeScalarView()
        for _ in 0..<count {
            let range: ClosedRange<UInt32>
            switch Int.random(in: 0..<10, using: &self) {
            case 0...3: range = 0x20...0x7E
            case 4: range = 0x00...0x2FF
            case 5: range = 0x300...0x17FF
            case 6: range = 0x4E00...0x9FFF
            case 7: range = 0x2000...0x33FF
            case 8: range = 0x1F300...0x1FAFF
            default: range = 0x00...0x10FFFF
            }
            if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &self)) { result.append(scalar) }
        }
        return String(result)
    }
}
