import CMedia

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A line of text shaped in a font: measured first, then drawn where it fits. Used by the thread that made it.
public final class TextLine {
    public let text: String
    public let font: Font
    public let extents: TextExtents
    let handle: OpaquePointer

    /// - Throws: `DrawingError.fontMissing` when the family is not installed, `.glyphsMissing` when it lacks characters
    ///   of the text, `.badFontSize` when the size is not in 0...2048.
    public init(_ text: String, font: Font) throws(DrawingError) {
        guard font.size > 0, font.size <= 2048 else { throw .badFontSize(font.size) }
        var resolved: UnsafeMutablePointer<CChar>?
        var text = text
        let shaped = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                // An empty string may have no address; any valid one serves for zero bytes.
                withUnsafePointer(to: CChar(0)) { nothing in
                    cm_text_create(
                        characters.baseAddress ?? nothing, Int32(clamping: characters.count), font.family, font.size,
                        Int32(clamping: font.weight), font.italic ? 1 : 0, &resolved)
                }
            }
        }
        guard let shaped else {
            let offered = resolved.map { String(cString: $0) } ?? ""
            free(resolved)
            throw .fontMissing(family: font.family, offered: offered)
        }
        let unknown = cm_text_unknown_glyphs(shaped)
        guard unknown == 0 else {
            cm_text_destroy(shaped)
            throw .glyphsMissing(text: text, family: font.family, count: Int(unknown))
        }
        var ink = cm_rect()
        var logical = cm_rect()
        cm_text_extents(shaped, &ink, &logical)
        self.text = text
        self.font = font
        self.extents = TextExtents(
            ink: Rectangle(x: ink.x, y: ink.y, width: ink.width, height: ink.height),
            logical: Rectangle(x: logical.x, y: logical.y, width: logical.width, height: logical.height))
        self.handle = shaped
    }

    /// A box for each character, as high as the line and as wide as the character's step, relative to the start of the
    /// baseline.
    public var characters: [Rectangle] {
        text.indices.map { index in
            let place = cm_text_character(handle, Int32(clamping: text.utf8.distance(from: text.startIndex, to: index)))
            return Rectangle(x: place.x, y: place.y, width: place.width, height: place.height)
        }
    }

    deinit { cm_text_destroy(handle) }
}
