internal import Foundation

/// A file inside a URL, as web pages and chat clients send pictures: `data:image/png;base64,…`.
public struct DataURL {
    /// What comes behind the comma.
    public let base64: Substring.UTF8View

    /// Nil where the text is no data URL in base64.
    public init?(_ text: String) {
        let bytes = text.utf8
        // A type is short: a text without a comma near its start need not be searched.
        guard Self.isOne(text), let comma = bytes.prefix(256).firstIndex(of: UInt8(ascii: ",")),
            String(bytes[..<comma])?.lowercased().hasSuffix(";base64") == true
        else { return nil }
        base64 = text[bytes.index(after: comma)...].utf8
    }

    /// Whether the text says that it is a data URL, of whatever kind.
    public static func isOne(_ text: String) -> Bool { text.utf8.starts(with: "data:".utf8) }

    /// The file; nil where it is not base64.
    public func decoded() -> [UInt8]? { Data(base64Encoded: Data(base64)).map { Array($0) } }
}
