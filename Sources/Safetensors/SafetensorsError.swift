/// A safetensors file or checkpoint folder that cannot be trusted, with the file, the tensor and the remedy.
///
/// What the operating system refuses (missing file, full disk, no permission) is a `FileSystemError` instead.
public struct SafetensorsError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Reason: Hashable, Sendable {
        /// Fewer than the 8 bytes of the header length.
        case fileTooSmall(bytes: Int)
        /// The header length is above the format's 100 MB.
        case headerTooLarge(bytes: UInt64)
        /// The header length is 0 or 1: not even `{}` fits.
        case headerTooSmall(bytes: UInt64)
        /// The header ends behind the end of the file.
        case headerBeyondFile(header: UInt64, file: Int)
        /// The first byte of the header is not `{`.
        case headerStart(byte: UInt8)
        /// The header is not UTF-8.
        case invalidUTF8(offset: Int)
        /// The header is not the strict JSON that the format allows.
        case invalidJSON(String, offset: Int)
        /// A key stands twice in one object.
        case duplicateKey(String)
        /// Over the limit of tensors or metadata keys.
        case tooManyKeys(limit: Int)
        /// A name that is empty, too long, has control characters or climbs out of a folder.
        case unusableName
        /// `__metadata__` is not an object of strings.
        case invalidMetadata(offset: Int)
        /// A field is missing, unknown or of the wrong type.
        case invalidEntry(String)
        /// An element type that the format does not have.
        case unknownDType(String)
        /// More than 64 dimensions.
        case tooManyDimensions(Int)
        /// The shape's product does not fit 64 bits.
        case shapeOverflow([Int])
        /// A packed type whose elements do not fill whole bytes.
        case partialByte
        /// The end comes before the start.
        case offsetsReversed(start: Int, end: Int)
        /// Shape and type need another number of bytes than the offsets give.
        case sizeMismatch(needed: Int, given: Int)
        /// The tensor shares bytes with the one before it.
        case overlap(with: String)
        /// Bytes that belong to no tensor come before this one.
        case hole(expected: Int, found: Int)
        /// The file ends too early, or goes on behind the last tensor.
        case dataLength(declared: Int, inFile: Int)
        /// The file has no tensor of this name.
        case missingTensor
        /// Not a regular file (a folder, a pipe, a device).
        case notAFile

        // Checkpoint folders.
        /// Neither `model.safetensors` nor an index is there.
        case noCheckpoint(name: String)
        /// Only pickled weights are there, which are programs and are never read.
        case pickleOnly(found: String)
        /// The index is not what an index must be.
        case invalidIndex(String)
        /// The index names a shard that is not a plain `.safetensors` file name.
        case unsafeShardName(String)
        /// The index names a shard that is not there.
        case missingShard(String)
        /// The index says the shard has this tensor, and it has not.
        case absentFromShard(String)
        /// Two shards hold a tensor of this name.
        case inTwoShards(String, String)
        /// A shard holds a tensor that the index does not list.
        case notInIndex(shard: String)
        /// `metadata.total_size` is not the sum of the tensors.
        case totalSize(declared: String, actual: Int)

        // Writing.
        /// The caller's provider gave another number of bytes than shape and type need.
        case providedBytes(needed: Int, given: Int)
        /// The caller gave two tensors of one name.
        case nameTwice
    }

    /// The file or folder, as the caller named it.
    public var file: String
    /// The tensor, where the fault is one tensor's.
    public var tensor: String?
    /// What is wrong.
    public var reason: Reason

    /// Describes a fault of `file`.
    public init(file: String, tensor: String? = nil, reason: Reason) {
        self.file = file
        self.tensor = tensor
        self.reason = reason
    }

    /// One line: file, tensor, fault, remedy.
    public var description: String {
        let where_ = tensor.map { "\(file): tensor '\(Self.printable($0))'" } ?? file
        return "\(where_): \(fault); \(remedy)"
    }

    /// Names come from the file: cut, and without characters that would move a terminal's cursor.
    static func printable(_ text: String) -> String {
        let head = text.unicodeScalars.prefix(120).map { scalar in
            scalar.properties.generalCategory == .control ? "\u{FFFD}" : String(scalar)
        }
        return head.joined() + (text.unicodeScalars.count > 120 ? "…" : "")
    }
}
