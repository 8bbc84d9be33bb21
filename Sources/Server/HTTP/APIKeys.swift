internal import Foundation
internal import HTTPTypes
internal import Hashing
internal import Hummingbird

/// The keys that clients must bring: as `Authorization: Bearer KEY`, or as the password of HTTP's basic scheme, which
/// is what a browser asks a person for.
struct APIKeys: Sendable {
    private let digests: [[UInt8]]

    init(_ keys: [String]) { digests = keys.map(Self.digest) }

    var isEmpty: Bool { digests.isEmpty }

    func admits(_ headers: HTTPFields) -> Bool {
        if digests.isEmpty { return true }
        guard let header = headers[.authorization], let key = Self.key(header) else { return false }
        let digest = Self.digest(key)
        // All keys and all bytes are compared, whatever the first ones say; digests hide lengths, too.
        var isKnown = false
        for known in digests {
            var difference: UInt8 = 0
            for (a, b) in zip(known, digest) { difference |= a ^ b }
            isKnown = difference == 0 || isKnown
        }
        return isKnown
    }

    private static func key(_ header: String) -> String? {
        let words = header.split(separator: " ", maxSplits: 1)
        guard words.count == 2 else { return nil }
        let rest = words[1].trimmingCharacters(in: .whitespaces)
        switch words[0].lowercased() {
        case "bearer": return rest
        case "basic":
            guard let data = Data(base64Encoded: rest) else { return nil }
            let text = String(decoding: data, as: UTF8.self)
            return text.firstIndex(of: ":").map { String(text[text.index(after: $0)...]) }
        default: return nil
        }
    }

    private static func digest(_ key: String) -> [UInt8] {
        Array(Array(key.utf8).withUnsafeBytes { sha256($0) }.utf8)
    }
}
