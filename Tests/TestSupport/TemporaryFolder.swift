public import Foundation

/// A new folder that goes when the tests end.
///
/// Not sooner: tests hold the paths of files much more often than this object, whose life ends with its last use.
public final class TemporaryFolder: Sendable {
    /// The folder.
    public let url: URL

    /// Creates it.
    ///
    /// - Throws: what the system says.
    public init() throws {
        url = Self.root.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    private static let root: URL = {
        let root = FileManager.default.temporaryDirectory.appending(path: "omma-tests-\(UUID().uuidString)")
        atexit { TemporaryFolder.removeAll() }
        return root
    }()

    private static func removeAll() { try? FileManager.default.removeItem(at: root) }

    /// Its path.
    public var path: String { url.path }
    /// The path of a file in it.
    public func path(_ name: String) -> String { url.appending(path: name).path }
    /// The names of what is in it, sorted.
    public var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    /// Writes a file into it.
    ///
    /// - Returns: its path.
    @discardableResult
    public func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
        try Data(bytes).write(to: url.appending(path: name))
        return path(name)
    }
}
