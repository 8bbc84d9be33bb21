/// Hand-written scanners for the splitting patterns of published tokenizers.
///
/// Each takes one step of the pattern at a position of well-formed UTF-8 and gives the end of the word. They give exactly
/// what the expression gives (the tests compare them with the general engine), many times as fast.
struct WordScanner: Sendable, Hashable {
    private enum Rule: Sendable, Hashable {
        case gpt2
        /// The pattern of cl100k, Qwen2 and Llama-3, which differ in how many digits make a word.
        case modern(digits: Int)
    }

    static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    static let qwen2Pattern = modernPattern(#"\p{N}"#)
    static let llama3Pattern = modernPattern(#"\p{N}{1,3}"#)

    static let gpt2 = WordScanner(rule: .gpt2)
    static let qwen2 = WordScanner(rule: .modern(digits: 1))
    private let rule: Rule

    private static func modernPattern(_ digits: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    private init(rule: Rule) { self.rule = rule }

    /// The scanner of this pattern, if there is one.
    init?(pattern: String) {
        switch pattern {
        case Self.gpt2Pattern: rule = .gpt2
        case Self.qwen2Pattern: rule = .modern(digits: 1)
        case Self.llama3Pattern: rule = .modern(digits: 3)
        default: return nil
        }
    }

    /// The end of the word that starts at `start`; `start < end`, and a word never passes `end`.
    @inline(__always)
    func wordEnd(_ bytes: [UInt8], _ table: [UInt8], from start: Int, to end: Int) -> Int {
        switch rule {
        case .gpt2: gpt2WordEnd(bytes, table, start, end)
        case .modern(let digits): modernWordEnd(bytes, table, start, end, digits)
        }
    }

    private func modernWordEnd(_ bytes: [UInt8], _ table: [UInt8], _ start: Int, _ end: Int, _ digits: Int) -> Int {
        let (scalar, length) = decodeScalar(bytes, start)
        let kind = table[Int(scalar)]
        if kind & UnicodeClass.letter != 0 {
            return Self.run(bytes, table, start + length, end, of: UnicodeClass.letter)
        }
        if kind & UnicodeClass.number != 0 {
            return Self.numbers(bytes, table, start + length, end, atMost: digits - 1)
        }
        if scalar == 0x27, let contraction = Self.contractionEnd(bytes, start + 1, end, foldCase: true) {
            return contraction
        }
        let next = start + length
        if next < end {
            let (second, secondLength) = decodeScalar(bytes, next)
            let secondKind = table[Int(second)]
            if secondKind & UnicodeClass.letter != 0, kind & UnicodeClass.newline == 0 {
                return Self.run(bytes, table, next + secondLength, end, of: UnicodeClass.letter)
            }
            if scalar == 0x20, secondKind & Self.wordOrSpace == 0 {
                return Self.newlines(bytes, Self.others(bytes, table, next + secondLength, end), end)
            }
        }
        if kind & UnicodeClass.space == 0 {
            return Self.newlines(bytes, Self.others(bytes, table, next, end), end)
        }
        return Self.spaceEnd(bytes, table, start, end, throughNewline: true)
    }

    private func gpt2WordEnd(_ bytes: [UInt8], _ table: [UInt8], _ start: Int, _ end: Int) -> Int {
        var (scalar, length) = decodeScalar(bytes, start)
        if scalar == 0x27, let contraction = Self.contractionEnd(bytes, start + 1, end, foldCase: false) {
            return contraction
        }
        var position = start
        if scalar == 0x20, start + 1 < end, table[Int(decodeScalar(bytes, start + 1).scalar)] & UnicodeClass.space == 0
        {
            position += 1
            (scalar, length) = decodeScalar(bytes, position)
        }
        let kind = table[Int(scalar)]
        position += length
        if kind & UnicodeClass.letter != 0 { return Self.run(bytes, table, position, end, of: UnicodeClass.letter) }
        if kind & UnicodeClass.number != 0 { return Self.run(bytes, table, position, end, of: UnicodeClass.number) }
        if kind & UnicodeClass.space == 0 { return Self.others(bytes, table, position, end) }
        return Self.spaceEnd(bytes, table, start, end, throughNewline: false)
    }

    private static let wordOrSpace = UnicodeClass.letter | UnicodeClass.number | UnicodeClass.space

    @inline(__always)
    private static func run(_ bytes: [UInt8], _ table: [UInt8], _ start: Int, _ end: Int, of kind: UInt8) -> Int {
        var index = start
        while index < end {
            let (scalar, length) = decodeScalar(bytes, index)
            if table[Int(scalar)] & kind == 0 { break }
            index += length
        }
        return index
    }

    private static func numbers(_ bytes: [UInt8], _ table: [UInt8], _ start: Int, _ end: Int, atMost: Int) -> Int {
        var index = start
        var left = atMost
        while left > 0, index < end {
            let (scalar, length) = decodeScalar(bytes, index)
            if table[Int(scalar)] & UnicodeClass.number == 0 { break }
            index += length
            left -= 1
        }
        return index
    }

    private static func others(_ bytes: [UInt8], _ table: [UInt8], _ start: Int, _ end: Int) -> Int {
        var index = start
        while index < end {
            let (scalar, length) = decodeScalar(bytes, index)
            if table[Int(scalar)] & wordOrSpace != 0 { break }
            index += length
        }
        return index
    }

    private static func newlines(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
        var index = start
        while index < end, bytes[index] == 0x0A || bytes[index] == 0x0D { index += 1 }
        return index
    }

    /// `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d`; `start` is behind the apostrophe.
    private static func contractionEnd(_ bytes: [UInt8], _ start: Int, _ end: Int, foldCase: Bool) -> Int? {
        guard start < end else { return nil }
        let bit: UInt8 = foldCase ? 0x20 : 0
        let first = bytes[start] | bit
        switch first {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 1
        default: break
        }
        guard start + 1 < end else { return nil }
        // U+017F folds to s.
        if foldCase, bytes[start] == 0xC5, bytes[start + 1] == 0xBF { return start + 2 }
        switch (first, bytes[start + 1] | bit) {
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return start + 2
        default: return nil
        }
    }

    /// `\s*[\r\n]+` (where asked), `\s+(?!\S)`, `\s+` at a space.
    private static func spaceEnd(
        _ bytes: [UInt8], _ table: [UInt8], _ start: Int, _ end: Int, throughNewline: Bool
    ) -> Int {
        var index = start
        var last = start
        var newlineEnd = -1
        while index < end {
            let (scalar, length) = decodeScalar(bytes, index)
            let kind = table[Int(scalar)]
            if kind & UnicodeClass.space == 0 { break }
            last = index
            index += length
            if kind & UnicodeClass.newline != 0 { newlineEnd = index }
        }
        if throughNewline, newlineEnd >= 0 { return newlineEnd }
        if index < end, last > start { return last }
        return index
    }
}
