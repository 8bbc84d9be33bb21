/// A typeface as Pango finds it: by family name, in pixels.
public struct Font: Sendable, Hashable, Codable {
    /// The family's name as fontconfig lists it, for example `DejaVu Sans`.
    public var family: String
    /// The em size in pixels; capital letters are about 0.72 of it high.
    public var size: Double
    /// 400 is regular, 700 bold.
    public var weight: Int
    public var italic: Bool

    public init(_ family: String, size: Double, weight: Int = 400, italic: Bool = false) {
        self.family = family
        self.size = size
        self.weight = weight
        self.italic = italic
    }
}

/// How much room a line of text takes, relative to the start of its baseline; y down, so letters have negative y.
public struct TextExtents: Sendable, Hashable {
    /// Around what is drawn.
    public let ink: Rectangle
    /// Around the line as typeset: its width is the advance, its height the line height.
    public let logical: Rectangle
}

/// Why something could not be drawn.
public enum DrawingError: Error, Equatable, CustomStringConvertible {
    case size(width: Int, height: Int)
    case fontMissing(family: String, offered: String)
    case glyphsMissing(text: String, family: String, count: Int)
    case badFontSize(Double)
    case cairo(String)

    public var description: String {
        switch self {
        case .size(let width, let height):
            "a canvas of \(width) by \(height) pixels cannot be made; sides go from 1 to \(Canvas.maximumSide)"
        case .fontMissing(let family, let offered):
            "the font family \"\(family)\" is not installed"
                + (offered.isEmpty ? "" : " (the system offers \"\(offered)\" instead)")
                + "; run ./setup, or install it and run fc-cache"
        case .glyphsMissing(let text, let family, let count):
            "\"\(family)\" has no glyph for \(count) of the characters in \"\(text)\"; choose a family that covers them"
        case .badFontSize(let size):
            "a font size of \(size) pixels cannot be drawn; it must be above 0 and at most 2048"
        case .cairo(let words): "Cairo stopped drawing: \(words)"
        }
    }
}
