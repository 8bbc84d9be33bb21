public import Foundation
internal import Text

/// A file of conversations: JSON lines, or one JSON list of them as LLaVA's data sets are.
///
/// Lines are found when the file is opened and read when they are wanted.
public struct ConversationFile: Sendable {
    public let url: URL
    /// Where names of pictures start from.
    public let images: URL
    public let unmarked: UnmarkedPictures
    private let bytes: FileBytes
    /// The bytes of each row, and its line (or number in a list) from 1.
    private let rows: [(range: Range<Int>, line: Int)]

    /// The longest row that is read.
    public static let maxRowBytes = 64 << 20

    /// - Parameter images: the folder of the file if nil.
    /// - Throws: `ConversationFileError` for a file that cannot be opened, is empty, or is no list of rows at all.
    public init(_ url: URL, images: URL? = nil, unmarked: UnmarkedPictures = .error) throws {
        self.url = url
        self.images = images ?? url.deletingLastPathComponent()
        self.unmarked = unmarked
        bytes = try FileBytes(url.path)
        var scanner = RowScanner()
        try bytes.forEachChunk { scanner.scan($0) }
        do throws(RowScanner.Unfinished) { rows = try scanner.finish() } catch {
            throw ConversationFileError(
                file: url.path, reason: "is a JSON list that does not end; it may have been cut off while it was copied"
            )
        }
        guard !rows.isEmpty else {
            throw ConversationFileError(file: url.path, reason: "holds no conversations; write one JSON object a line")
        }
    }

    public var count: Int { rows.count }

    /// Line of a row, or its number in a list; from 1.
    public func line(of index: Int) -> Int { rows[index].line }

    /// Reads a row.
    ///
    /// - Throws: `ConversationFileError` with the line.
    public func row(at index: Int) throws(ConversationFileError) -> ConversationRow {
        precondition(rows.indices.contains(index), "row \(index) of \(rows.count)")
        let (range, line) = rows[index]
        func failure(_ reason: String) -> ConversationFileError {
            ConversationFileError(file: url.path, row: line, reason: reason)
        }
        guard range.count <= Self.maxRowBytes else {
            throw failure("has \(range.count) bytes; rows may have \(Self.maxRowBytes)")
        }
        let json: OrderedJSON
        let text = try bytes.read(range)
        do { json = try OrderedJSON(parsing: text, maximumBytes: Self.maxRowBytes) } catch {
            throw failure("is not valid JSON: \(error.message) (column \(error.column))")
        }
        do throws(ConversationRow.Mistake) { return try ConversationRow(json, unmarked: unmarked) } catch {
            throw failure(error.reason)
        }
    }
}
