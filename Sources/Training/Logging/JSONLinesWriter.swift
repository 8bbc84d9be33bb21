import Foundation
public import Terminal

/// Appends values to a file, one line of JSON each.
///
/// Every line reaches the system when `append` returns, whole or not at all, so that the file can be read while it
/// grows and after a crash. A full disk does not stop the work: it is said once, and lines are counted as lost.
public final class JSONLinesWriter: Sendable {
    private let log: RecordLog

    /// Opens `path` for appending; a last line that a crash cut short is dropped, and said.
    ///
    /// - Parameters:
    ///   - path: the file, created where it is missing.
    ///   - warn: takes what people should know.
    /// - Throws: `FileSystemError`.
    public init(
        path: String,
        warn: @escaping @Sendable (String) -> Void = { TerminalOutput.standardError.warn($0) }
    ) throws {
        log = try RecordLog(path: path, warn: warn) { content in
            content.lastIndex(of: UInt8(ascii: "\n")).map { content.distance(from: content.startIndex, to: $0) + 1 }
                ?? 0
        }
    }

    /// The file.
    public var path: String { log.path }
    /// How many lines could not be written.
    public var lostLines: Int { log.lost }

    /// Appends a line. Numbers that are not finite become the strings `nan`, `inf` and `-inf`.
    ///
    /// - Throws: `EncodingError` if the value cannot be JSON.
    public func append(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        log.append(Array(try encoder.encode(value)) + [UInt8(ascii: "\n")])
    }

    /// Makes what was written outlive a power cut.
    public func sync() { log.sync() }
    /// Ends the writing; later lines are dropped.
    public func close() { log.close() }
}
