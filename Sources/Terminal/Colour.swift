/// The colours of a terminal's own palette, which people have set to what they can read.
public enum Colour: Int, Sendable {
    case red = 31
    case green = 32
    case yellow = 33
    case blue = 34
    case cyan = 36
    case bold = 1
    case dim = 2
}

extension TerminalOutput {
    /// `text` in this colour, where this output has colours.
    public func coloured(_ text: String, _ colour: Colour) -> String {
        hasColour ? "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m" : text
    }

    /// A line that says what went otherwise than expected, and that the program goes on.
    public func warn(_ text: String) { line("\(coloured("warning:", .yellow)) \(text)") }
}
