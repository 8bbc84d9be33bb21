/// A text that a test takes as its argument, shown by its beginning and its length: a log of half a million brackets
/// helps nobody.
public struct Abbreviated: Sendable, CustomStringConvertible {
    public let text: String

    public init(_ text: String) {
        self.text = text
    }

    public var description: String {
        text.utf8.count <= 120 ? "\"\(text)\"" : "\"\(text.prefix(60))…\" of \(text.utf8.count) bytes"
    }
}
