/// The checked header of a safetensors file: which tensors there are, and where.
///
/// What is promised once this exists: every byte behind the header belongs to exactly one tensor, every tensor lies
/// inside the file, and every shape and type agrees with its bytes. Values are not looked at; NaN is legal.
public struct SafetensorsHeader: Sendable, Hashable {
    /// The largest header that the format allows, in bytes.
    public static let maximumLength = 100_000_000
    /// The most tensors, and the most metadata keys, that one file may have.
    public static let maximumKeys = 100_000
    /// The longest tensor name, in UTF-8 bytes.
    public static let maximumNameLength = 4096
    /// The most dimensions of a tensor.
    public static let maximumDimensions = 64

    /// The tensors by name.
    public internal(set) var entries: [String: TensorEntry]
    /// The names in the order of the bytes.
    public internal(set) var names: [String]
    /// `__metadata__`: what the writer wished to note.
    public internal(set) var metadata: [String: String]
    /// Where the tensors' bytes begin in the file.
    public internal(set) var dataStart: Int

    /// Checks the header of a whole file in memory.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - file: the name for error messages.
    /// - Throws: `SafetensorsError`.
    public init(file bytes: UnsafeRawBufferPointer, named file: String) throws {
        let header = try Self.headerBytes(of: bytes, file: file)
        dataStart = 8 + header.count
        var parser = HeaderParser(file: file)
        do {
            try parser.parse(header)
        } catch JSONCursor.Fault.syntax(let what, let offset) {
            throw SafetensorsError(file: file, reason: .invalidJSON(what, offset: offset))
        } catch JSONCursor.Fault.invalidUTF8(let offset) {
            throw SafetensorsError(file: file, reason: .invalidUTF8(offset: offset))
        }
        metadata = parser.metadata
        names = try Self.contiguous(parser.entries, dataBytes: bytes.count - dataStart, file: file)
        entries = parser.entries
        for name in names { entries[name]?.byteRange.shift(by: dataStart) }
    }

    private static func headerBytes(
        of bytes: UnsafeRawBufferPointer, file: String
    ) throws -> UnsafeRawBufferPointer {
        func refuse(_ reason: SafetensorsError.Reason) -> SafetensorsError { .init(file: file, reason: reason) }
        guard bytes.count >= 8 else { throw refuse(.fileTooSmall(bytes: bytes.count)) }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(maximumLength) else { throw refuse(.headerTooLarge(bytes: length)) }
        guard length >= 2 else { throw refuse(.headerTooSmall(bytes: length)) }
        guard length <= UInt64(bytes.count - 8) else {
            throw refuse(.headerBeyondFile(header: length, file: bytes.count))
        }
        guard bytes[8] == UInt8(ascii: "{") else { throw refuse(.headerStart(byte: bytes[8])) }
        return UnsafeRawBufferPointer(rebasing: bytes[8..<8 + Int(length)])
    }

    /// The names by offset, once it is clear that the tensors fill the data without overlap or hole.
    private static func contiguous(
        _ entries: [String: TensorEntry], dataBytes: Int, file: String
    ) throws -> [String] {
        // Tensors of no bytes share their offset with a neighbour: shorter ones first, then by name.
        let sorted = entries.sorted { left, right in
            let (a, b) = (left.value.byteRange, right.value.byteRange)
            return (a.lowerBound, a.upperBound, left.key) < (b.lowerBound, b.upperBound, right.key)
        }
        var due = 0
        var previous = ""
        for (name, entry) in sorted {
            let start = entry.byteRange.lowerBound
            if start < due { throw SafetensorsError(file: file, tensor: name, reason: .overlap(with: previous)) }
            if start > due {
                throw SafetensorsError(file: file, tensor: name, reason: .hole(expected: due, found: start))
            }
            due = entry.byteRange.upperBound
            previous = name
        }
        guard due == dataBytes else {
            throw SafetensorsError(file: file, reason: .dataLength(declared: due, inFile: dataBytes))
        }
        return sorted.map(\.key)
    }
}

extension Range<Int> {
    fileprivate mutating func shift(by distance: Int) {
        self = lowerBound + distance..<upperBound + distance
    }
}
