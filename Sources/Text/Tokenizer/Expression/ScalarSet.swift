/// A set of Unicode scalars, as `[...]`, `\s`, `\p{L}` and their like describe it.
struct ScalarSet: Sendable {
    indirect enum Item: Sendable {
        case range(ClosedRange<UInt32>)
        /// A bit of `UnicodeClass`.
        case unicodeClass(UInt8)
        /// General categories, one bit each by `categoryBit`.
        case categories(UInt32)
        case word
        case han
        case set(ScalarSet)
    }

    var items: [Item] = []
    var isNegated = false
    /// Takes a scalar whose other case is in the set.
    var foldsCase = false
    /// Answers for ASCII, worked out once.
    private var ascii: (low: UInt64, high: UInt64)?

    init(_ items: [Item], isNegated: Bool = false, foldsCase: Bool = false) {
        self.items = items
        self.isNegated = isNegated
        self.foldsCase = foldsCase
        var low: UInt64 = 0
        var high: UInt64 = 0
        for value in UInt32(0)..<64 {
            if search(value) { low |= 1 << UInt64(value) }
            if search(value + 64) { high |= 1 << UInt64(value) }
        }
        ascii = (low, high)
    }

    @inline(__always)
    func contains(_ value: UInt32) -> Bool {
        if value < 0x80, let ascii {
            return (value < 64 ? ascii.low >> UInt64(value) : ascii.high >> UInt64(value - 64)) & 1 != 0
        }
        return search(value)
    }

    private func search(_ value: UInt32) -> Bool {
        if !foldsCase { return holds(value) != isNegated }
        return Self.cases(of: value).contains { holds($0) } != isNegated
    }

    private func holds(_ value: UInt32) -> Bool {
        for item in items {
            switch item {
            case .range(let range): if range.contains(value) { return true }
            case .unicodeClass(let bit): if UnicodeClass.table[Int(value)] & bit != 0 { return true }
            case .categories(let mask):
                if let scalar = Unicode.Scalar(value), mask & Self.categoryBit(scalar.properties.generalCategory) != 0 {
                    return true
                }
            case .word: if isWordScalar(value) { return true }
            case .han: if Self.han.contains(where: { $0.contains(value) }) { return true }
            case .set(let set): if set.contains(value) { return true }
            }
        }
        return false
    }

    /// A scalar with its other cases, as far as these are single scalars.
    private static func cases(of value: UInt32) -> [UInt32] {
        func single(_ text: String) -> UInt32? {
            let scalars = text.unicodeScalars
            return scalars.count == 1 ? scalars.first?.value : nil
        }
        guard let scalar = Unicode.Scalar(value) else { return [value] }
        var result = [value]
        if let lower = single(scalar.properties.lowercaseMapping) {
            result.append(lower)
            if let other = Unicode.Scalar(lower).flatMap({ single($0.properties.uppercaseMapping) }) {
                result.append(other)
            }
        }
        if let upper = single(scalar.properties.uppercaseMapping) {
            result.append(upper)
            if let other = Unicode.Scalar(upper).flatMap({ single($0.properties.lowercaseMapping) }) {
                result.append(other)
            }
        }
        return result
    }

    /// Script Han in Unicode 14.
    private static let han: [ClosedRange<UInt32>] = [
        0x2E80...0x2E99, 0x2E9B...0x2EF3, 0x2F00...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029,
        0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFA6D, 0xFA70...0xFAD9, 0x16FE2...0x16FE3,
        0x16FF0...0x16FF1, 0x20000...0x2A6DF, 0x2A700...0x2B738, 0x2B740...0x2B81D, 0x2B820...0x2CEA1,
        0x2CEB0...0x2EBE0, 0x2F800...0x2FA1D, 0x30000...0x3134A,
    ]

    private static let categoryNames: [(String, Unicode.GeneralCategory)] = [
        ("Lu", .uppercaseLetter), ("Ll", .lowercaseLetter), ("Lt", .titlecaseLetter), ("Lm", .modifierLetter),
        ("Lo", .otherLetter), ("Mn", .nonspacingMark), ("Mc", .spacingMark), ("Me", .enclosingMark),
        ("Nd", .decimalNumber), ("Nl", .letterNumber), ("No", .otherNumber), ("Pc", .connectorPunctuation),
        ("Pd", .dashPunctuation), ("Ps", .openPunctuation), ("Pe", .closePunctuation), ("Pi", .initialPunctuation),
        ("Pf", .finalPunctuation), ("Po", .otherPunctuation), ("Sm", .mathSymbol), ("Sc", .currencySymbol),
        ("Sk", .modifierSymbol), ("So", .otherSymbol), ("Zs", .spaceSeparator), ("Zl", .lineSeparator),
        ("Zp", .paragraphSeparator), ("Cc", .control), ("Cf", .format), ("Cs", .surrogate), ("Co", .privateUse),
        ("Cn", .unassigned),
    ]

    private static func categoryBit(_ category: Unicode.GeneralCategory) -> UInt32 {
        categoryNames.firstIndex { $0.1 == category }.map { 1 << UInt32($0) } ?? 0
    }

    /// The item of `\p{name}`; `nil` for a name that this program does not know.
    static func property(_ name: String) -> Item? {
        switch name {
        case "L", "Letter": return .unicodeClass(UnicodeClass.letter)
        case "N", "Number": return .unicodeClass(UnicodeClass.number)
        case "Han": return .han
        case "White_Space", "Space": return .unicodeClass(UnicodeClass.space)
        case "M", "P", "S", "Z", "C":
            var mask: UInt32 = 0
            for (index, entry) in categoryNames.enumerated() where entry.0.hasPrefix(name) {
                mask |= 1 << UInt32(index)
            }
            return .categories(mask)
        default:
            guard let index = categoryNames.firstIndex(where: { $0.0 == name }) else { return nil }
            return .categories(1 << UInt32(index))
        }
    }
}
