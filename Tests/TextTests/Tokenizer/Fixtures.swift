import Foundation
import Testing

@testable import Text

/// The shared fixtures beside the checkout, where they are present.
enum Fixtures {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// The path of a fixture folder; `nil`, with a printed note, where the folder is absent.
    static func folder(_ name: String) -> String? {
        let candidates = [
            repository.appendingPathComponent("../shared/fixtures/\(name)"),
            repository.appendingPathComponent("../../shared/fixtures/\(name)"),
        ]
        if let found = candidates.first(where: { FileManager.default.fileExists(atPath: $0.path) }) {
            return found.standardizedFileURL.path
        }
        print("skipped: the fixture folder \(name) is not beside this checkout")
        return nil
    }

    /// The goldens of this repository.
    static func golden(_ name: String) -> String { repository.appendingPathComponent("Tests/Goldens/\(name)").path }

    static func json(_ path: String) throws -> JSONField {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        return JSONField(node: try JSONParser.parse(bytes, file: path), path: "")
    }
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

/// A small seeded generator (SplitMix64).
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

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
