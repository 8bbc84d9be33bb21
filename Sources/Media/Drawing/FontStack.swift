/// Families to write with, the first first: later ones lend the characters that earlier ones lack.
public struct FontStack: Sendable {
    public var families: [String]

    public init(_ families: [String]) { self.families = families }

    /// For reading.
    public static let sans = FontStack([
        "Open Sans", "Helvetica Neue", "DejaVu Sans", "Noto Sans CJK SC", "PingFang SC", "FreeSans",
    ])
    /// For code and tokens.
    public static let mono = FontStack([
        "DejaVu Sans Mono", "Menlo", "Noto Sans Mono CJK SC", "PingFang SC", "FreeMono", "FreeSans",
    ])

    /// The text as lines to be drawn one behind the other; characters that no family has become `?`.
    ///
    /// - Throws: `DrawingError.fontMissing` where none of the families is installed.
    public func lines(_ text: String, size: Double, weight: Int = 400) throws(DrawingError) -> [TextLine] {
        if let whole = line(text, size, weight) { return [whole] }
        var runs: [(text: String, family: Int)] = []
        for character in text {
            let index = families.firstIndex { family in
                (try? TextLine(String(character), font: Font(family, size: size, weight: weight))) != nil
            }
            let piece = index == nil ? "?" : String(character)
            let family = index ?? runs.last?.family ?? 0
            if let last = runs.last, last.family == family {
                runs[runs.count - 1].text += piece
            } else {
                runs.append((piece, family))
            }
        }
        var lines: [TextLine] = []
        for run in runs {
            if let whole = line(run.text, size, weight) {
                lines.append(whole)
            } else {
                lines.append(try TextLine(run.text, font: Font(families[run.family], size: size, weight: weight)))
            }
        }
        return lines
    }

    private func line(_ text: String, _ size: Double, _ weight: Int) -> TextLine? {
        for family in families {
            if let line = try? TextLine(text, font: Font(family, size: size, weight: weight)) { return line }
        }
        return nil
    }
}
