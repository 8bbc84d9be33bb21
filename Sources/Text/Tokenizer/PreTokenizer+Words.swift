/// A text cut into words.
struct PreTokenizedText {
    var text: OriginText
    var words: [Range<Int>]
    /// Whether the text begins where the whole text began.
    let isFirst: Bool
}

extension PreTokenizer {
    /// Cuts a text into words.
    ///
    /// - Parameter rawBytes: leave out the last step's mapping from bytes to stand-ins, as the model takes bytes.
    func apply(_ text: inout PreTokenizedText, rawBytes: Bool) throws(TokenizerError) {
        for step in steps {
            switch step {
            case .split(let pattern, let behavior, let invert):
                try text.split(behavior, invert: invert) { (bytes, range) throws(TokenizerError) in
                    try pattern.matches(bytes, range)
                }
            case .splitScalars(let kind, let behavior):
                try text.split(behavior, invert: false) { bytes, range in kind.matches(bytes, range) }
            case .wordsAndSymbols:
                try text.split(.removed, invert: true) { bytes, range in Self.wordsAndSymbols(bytes, range) }
            case .byteLevel(let addPrefixSpace, let useExpression):
                if addPrefixSpace { text.prependSpace() }
                if useExpression {
                    try text.split(.isolated, invert: false) { (bytes, range) throws(TokenizerError) in
                        try Pattern.scanner(.gpt2).matches(bytes, range)
                    }
                }
                if !rawBytes { text.spellBytes() }
            case .metaspace(let replacement, let scheme, let split):
                text.replaceSpaces(replacement, scheme)
                if split {
                    try text.split(.mergedWithNext, invert: false) { (bytes, range) throws(TokenizerError) in
                        try Pattern.literal(replacement).matches(bytes, range)
                    }
                }
            }
        }
    }

    private static func wordsAndSymbols(_ bytes: [UInt8], _ range: Range<Int>) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var last = 0
        var index = range.lowerBound
        while index < range.upperBound {
            let (scalar, length) = decodeScalar(bytes, index)
            let isSpace = UnicodeClass.table[Int(scalar)] & UnicodeClass.space != 0
            let kind = isWordScalar(scalar) ? 1 : isSpace ? 0 : 2
            if kind != 0 {
                if kind == last, let previous = result.popLast() {
                    result.append(previous.lowerBound..<(index + length))
                } else {
                    result.append(index..<(index + length))
                }
            }
            last = kind
            index += length
        }
        return result
    }
}

extension PreTokenizer.ScalarClass {
    func contains(_ value: UInt32) -> Bool {
        guard let scalar = Unicode.Scalar(value) else { return false }
        switch self {
        case .whitespace: return UnicodeClass.table[Int(value)] & UnicodeClass.space != 0
        case .digit:
            switch scalar.properties.generalCategory {
            case .decimalNumber, .letterNumber, .otherNumber: return true
            default: return false
            }
        case .punctuation:
            if value < 0x80 {
                return (0x21...0x2F).contains(value) || (0x3A...0x40).contains(value)
                    || (0x5B...0x60).contains(value) || (0x7B...0x7E).contains(value)
            }
            switch scalar.properties.generalCategory {
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
                .finalPunctuation, .otherPunctuation:
                return true
            default: return false
            }
        case .one(let bytes): return !bytes.isEmpty && decodeScalar(bytes, 0).scalar == value
        }
    }

    /// Every scalar of the class by itself.
    func matches(_ bytes: [UInt8], _ range: Range<Int>) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var index = range.lowerBound
        while index < range.upperBound {
            let (scalar, length) = decodeScalar(bytes, index)
            if contains(scalar) { result.append(index..<(index + length)) }
            index += length
        }
        return result
    }
}

extension PreTokenizedText {
    private typealias Part = (range: Range<Int>, isMatch: Bool)

    /// Cuts every word at the matches (`NormalizedString::split` of the Rust library).
    mutating func split(
        _ behavior: PreTokenizer.Behavior, invert: Bool,
        _ find: ([UInt8], Range<Int>) throws(TokenizerError) -> [Range<Int>]
    ) throws(TokenizerError) {
        var result: [Range<Int>] = []
        for word in words {
            var parts: [Part] = []
            var index = word.lowerBound
            for match in try find(text.bytes, word) {
                if index < match.lowerBound { parts.append((index..<match.lowerBound, invert)) }
                parts.append((match, !invert))
                index = match.upperBound
            }
            if index < word.upperBound { parts.append((index..<word.upperBound, invert)) }
            Self.cut(parts, behavior, &result)
        }
        words = result
    }

    private static func cut(_ parts: [Part], _ behavior: PreTokenizer.Behavior, _ result: inout [Range<Int>]) {
        var merged: [Range<Int>] = []
        var previousIsMatch: Bool?
        switch behavior {
        case .isolated: merged = parts.map(\.range)
        case .removed: merged = parts.filter { !$0.isMatch }.map(\.range)
        case .contiguous:
            for part in parts {
                if previousIsMatch == part.isMatch, let last = merged.popLast() {
                    merged.append(last.lowerBound..<part.range.upperBound)
                } else {
                    merged.append(part.range)
                }
                previousIsMatch = part.isMatch
            }
        case .mergedWithPrevious:
            for part in parts {
                if part.isMatch, previousIsMatch != true, let last = merged.popLast() {
                    merged.append(last.lowerBound..<part.range.upperBound)
                } else {
                    merged.append(part.range)
                }
                previousIsMatch = part.isMatch
            }
        case .mergedWithNext:
            for part in parts.reversed() {
                if part.isMatch, previousIsMatch != true, let next = merged.popLast() {
                    merged.append(part.range.lowerBound..<next.upperBound)
                } else {
                    merged.append(part.range)
                }
                previousIsMatch = part.isMatch
            }
            merged.reverse()
        }
        result += merged
    }

    /// Writes every word anew.
    private mutating func rewrite(_ write: (OriginText, Range<Int>, inout OriginText) -> Void) {
        var result = text.emptied()
        var bounds: [Range<Int>] = []
        for word in words {
            let start = result.bytes.count
            write(text, word, &result)
            if result.bytes.count > start { bounds.append(start..<result.bytes.count) }
        }
        text = result
        words = bounds
    }

    mutating func prependSpace() {
        rewrite { text, word, result in
            if text.bytes[word.lowerBound] != 0x20 { result.append([0x20], origin: text.origin(word.lowerBound)) }
            result.append(text, word)
        }
    }

    mutating func spellBytes() {
        rewrite { text, word, result in
            for index in word {
                result.append(ByteAlphabet.encoded[Int(text.bytes[index])], origin: text.origin(index))
            }
        }
    }

    mutating func replaceSpaces(_ replacement: [UInt8], _ scheme: PreTokenizer.PrependScheme) {
        let startsText = isFirst
        var isFirstWord = true
        rewrite { text, word, result in
            let wanted = scheme == .always || scheme == .first && startsText && isFirstWord
            isFirstWord = false
            let start = text.bytes[word].prefix(replacement.count)
            if wanted, text.bytes[word.lowerBound] != 0x20, !start.elementsEqual(replacement) {
                result.append(replacement, origin: text.origin(word.lowerBound))
            }
            for index in word {
                if text.bytes[index] == 0x20 {
                    result.append(replacement, origin: text.origin(index))
                } else {
                    result.append(text, index..<(index + 1))
                }
            }
        }
    }
}
