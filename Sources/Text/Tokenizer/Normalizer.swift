import Foundation

/// The normalisers of tokenizer.json.
indirect enum Normalizer: Sendable {
    enum Form: Sendable { case nfc, nfd, nfkc, nfkd }

    case unicode(Form)
    case lowercase
    case strip(left: Bool, right: Bool)
    case stripAccents
    case prepend([UInt8])
    case replace(Pattern, [UInt8])
    case byteLevel
    case sequence([Normalizer])

    init(_ field: JSONField) throws(TokenizerError) {
        let type = try field.required("type")
        switch try type.string() {
        case "NFC": self = .unicode(.nfc)
        case "NFD": self = .unicode(.nfd)
        case "NFKC": self = .unicode(.nfkc)
        case "NFKD": self = .unicode(.nfkd)
        case "Lowercase": self = .lowercase
        case "Strip":
            self = .strip(
                left: try field.bool("strip_left", default: true), right: try field.bool("strip_right", default: true))
        case "StripAccents": self = .stripAccents
        case "Prepend": self = .prepend(try field.bytes("prepend"))
        case "Replace": self = .replace(try Pattern(try field.required("pattern")), try field.bytes("content"))
        case "ByteLevel": self = .byteLevel
        case "Sequence":
            var parts: [Normalizer] = []
            for item in try field.required("normalizers").items() { parts.append(try Normalizer(item)) }
            self = .sequence(parts)
        default: throw type.unsupported
        }
    }

    /// Whether this is sure to leave the text as it is.
    func leaves(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        switch self {
        case .unicode(.nfc):
            let table = UnicodeClass.table
            var index = range.lowerBound
            while index < range.upperBound {
                // Below U+0300 nothing composes with what stands before it.
                if bytes[index] < 0xCC {
                    index += 1
                    continue
                }
                let (scalar, length) = decodeScalar(bytes, index)
                if table[Int(scalar)] & UnicodeClass.composing != 0 { return false }
                index += length
            }
            return true
        case .sequence(let parts): return parts.allSatisfy { $0.leaves(bytes, range) }
        default: return false
        }
    }

    func apply(_ text: inout OriginText) throws(TokenizerError) {
        switch self {
        case .unicode(let form):
            if !leaves(text.bytes, 0..<text.bytes.count) { Self.compose(&text, form) }
        case .lowercase:
            Self.mapScalars(&text) { scalar, bytes in bytes.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            }
        case .stripAccents:
            Self.mapScalars(&text) { scalar, bytes in
                switch scalar.properties.generalCategory {
                case .nonspacingMark, .spacingMark, .enclosingMark: break
                default: appendScalar(scalar, to: &bytes)
                }
            }
        case .strip(let left, let right): Self.strip(&text, left, right)
        case .prepend(let prefix):
            if text.bytes.isEmpty { return }
            var result = text.emptied()
            result.append(prefix, origin: text.origin(0))
            result.append(text, 0..<text.bytes.count)
            text = result
        case .replace(let pattern, let content):
            var result = text.emptied()
            var index = 0
            for match in try pattern.matches(text.bytes, 0..<text.bytes.count) {
                result.append(text, index..<match.lowerBound)
                result.append(content, origin: text.origin(match.lowerBound))
                index = match.upperBound
            }
            result.append(text, index..<text.bytes.count)
            text = result
        case .byteLevel:
            var result = text.emptied()
            for (index, byte) in text.bytes.enumerated() {
                result.append(ByteAlphabet.encoded[Int(byte)], origin: text.origin(index))
            }
            text = result
        case .sequence(let parts):
            for part in parts { try part.apply(&text) }
        }
    }

    private static func mapScalars(_ text: inout OriginText, _ map: (Unicode.Scalar, inout [UInt8]) -> Void) {
        var result = text.emptied()
        var mapped: [UInt8] = []
        var index = 0
        while index < text.bytes.count {
            let (value, length) = decodeScalar(text.bytes, index)
            mapped.removeAll(keepingCapacity: true)
            if let scalar = Unicode.Scalar(value) { map(scalar, &mapped) }
            result.append(mapped, origin: text.origin(index))
            index += length
        }
        text = result
    }

    private static func strip(_ text: inout OriginText, _ left: Bool, _ right: Bool) {
        let table = UnicodeClass.table
        var start = 0
        var end = text.bytes.count
        while left, start < end {
            let (scalar, length) = decodeScalar(text.bytes, start)
            if table[Int(scalar)] & UnicodeClass.space == 0 { break }
            start += length
        }
        while right, end > start {
            let (scalar, length) = decodeScalarBefore(text.bytes, end)
            if table[Int(scalar)] & UnicodeClass.space == 0 { break }
            end -= length
        }
        var result = text.emptied()
        result.append(text, start..<end)
        text = result
    }

    /// Normalises piece by piece, so that every piece keeps its origin: a piece begins with a scalar that never joins
    /// what stands before it.
    private static func compose(_ text: inout OriginText, _ form: Form) {
        let table = UnicodeClass.table
        var result = text.emptied()
        var start = 0
        while start < text.bytes.count {
            var end = start + decodeScalar(text.bytes, start).length
            var plain = end == start + 1
            while end < text.bytes.count {
                let (scalar, length) = decodeScalar(text.bytes, end)
                // The compatibility forms of some scalars compose although the scalars do not; ASCII is always safe.
                let safe = form == .nfc ? table[Int(scalar)] & UnicodeClass.composing == 0 : scalar < 0x80
                if safe { break }
                plain = false
                end += length
            }
            if plain {
                result.append(text, start..<end)
            } else {
                let piece = String(decoding: text.bytes[start..<end], as: UTF8.self)
                let normal =
                    switch form {
                    case .nfc: piece.precomposedStringWithCanonicalMapping
                    case .nfd: piece.decomposedStringWithCanonicalMapping
                    case .nfkc: piece.precomposedStringWithCompatibilityMapping
                    case .nfkd: piece.decomposedStringWithCompatibilityMapping
                    }
                result.append(Array(normal.utf8), origin: text.origin(start))
            }
            start = end
        }
        text = result
    }
}
