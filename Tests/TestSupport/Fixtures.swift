public import Foundation
public import Goldens

/// Where the golden outputs of the reference implementations are.
///
/// A few stand in this repository (`Tests/Goldens`); all of them stand in `../shared/fixtures` beside the checkout,
/// where that folder is present, or wherever `OMMA_FIXTURES` says. Tests that need what is not there are disabled and
/// say so: `@Test(.enabled(if: Fixtures.has("qwen2vl")))`.
public enum Fixtures {
    /// The checkout.
    public static let checkout = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// `Tests/Goldens`.
    public static let goldens = checkout.appending(path: "Tests/Goldens")

    /// All fixtures, or `nil` where only those of the repository are at hand.
    public static let shared: URL? = {
        let named = ProcessInfo.processInfo.environment["OMMA_FIXTURES"].flatMap { $0.isEmpty ? nil : $0 }
        let place = named.map { URL(filePath: $0) } ?? checkout.appending(path: "../shared/fixtures").standardized
        let found = FileManager.default.fileExists(atPath: place.path)
        let line =
            found
            ? "fixtures: \(place.path)"
            : "fixtures: only \(goldens.path); nothing at \(place.path), tests that need more are skipped"
        FileHandle.standardError.write(Data((line + "\n").utf8))
        return found ? place : nil
    }()

    /// The folder or file of this name: of all fixtures, or else of the repository's.
    public static func url(_ name: String) -> URL? {
        [shared, goldens].compactMap { $0?.appending(path: name) }.first {
            FileManager.default.fileExists(atPath: $0.path)
        }
    }

    /// Whether there is a folder or file of this name.
    public static func has(_ name: String) -> Bool { url(name) != nil }

    /// The path of the folder or file of this name.
    ///
    /// - Throws: `MissingFixture`.
    public static func path(_ name: String) throws -> String {
        guard let url = url(name) else { throw MissingFixture(name: name) }
        return url.path
    }

    /// The golden outputs of a folder.
    ///
    /// - Throws: `MissingFixture`, and what `GoldenFolder` throws.
    public static func golden(_ name: String) throws -> GoldenFolder { try GoldenFolder(path: path(name)) }

    /// The bytes of a file.
    ///
    /// - Throws: `MissingFixture`, and what reading throws.
    public static func data(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: path(name))) }
}

/// A fixture that a test asked for is not at hand.
public struct MissingFixture: Error, CustomStringConvertible {
    /// The name asked for.
    public var name: String
    /// One line.
    public var description: String {
        "no fixture '\(name)': set OMMA_FIXTURES to the folder that holds it, or guard the test with Fixtures.has"
    }
}
