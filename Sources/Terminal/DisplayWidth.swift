extension String {
    /// The columns that the text takes on a terminal: two for East Asian wide characters and emoji, none for marks
    /// that sit on the character before.
    public var displayWidth: Int { reduce(0) { $0 + $1.displayWidth } }

    /// The text cut to at most `columns`, with `…` where something was cut.
    public func truncated(to columns: Int) -> String {
        guard displayWidth > columns else { return self }
        guard columns > 0 else { return "" }
        var width = 0
        let head = prefix { character in
            width += character.displayWidth
            return width <= columns - 1
        }
        return head + "…"
    }

    /// The text filled with spaces to at least `columns`.
    public func padded(to columns: Int, _ alignment: Alignment = .left) -> String {
        let missing = max(0, columns - displayWidth)
        switch alignment {
        case .left: return self + String(repeating: " ", count: missing)
        case .right: return String(repeating: " ", count: missing) + self
        }
    }

    /// The text with characters that would move the cursor, or colour what follows, replaced: for names that come
    /// from files and people.
    public var printable: String {
        String(
            String.UnicodeScalarView(unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 })
        )
    }
}

/// Where a text stands in a wider column.
public enum Alignment: Sendable {
    case left, right
}

extension Character {
    fileprivate var displayWidth: Int {
        // U+FE0F asks for the picture form of a character that has both.
        if unicodeScalars.contains(where: { $0.value == 0xFE0F }) { return 2 }
        return unicodeScalars.reduce(0) { max($0, $1.displayWidth) }
    }
}

extension Unicode.Scalar {
    fileprivate var displayWidth: Int {
        if value < 0x300 { return value >= 0x20 && !(0x7F..<0xA0 ~= value) ? 1 : 0 }
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control: return 0
        default: break
        }
        if properties.isEmojiPresentation { return 2 }
        return Self.wide.contains { $0 ~= value } ? 2 : 1
    }

    // Unicode's EastAsianWidth.txt, W and F, joined where only unassigned code points lie between.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
        0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF00...0xFF60,
        0xFFE0...0xFFE6, 0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF, 0x1F200...0x1F265, 0x20000...0x3FFFD,
    ]
}
