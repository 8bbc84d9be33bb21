/// The checked content of a `model.safetensors.index.json`.
struct CheckpointIndex {
    /// The largest index that is read, in bytes.
    static let maximumLength = 100_000_000
    /// The most tensors of a checkpoint.
    static let maximumTensors = 1_000_000
    /// The most shards of a checkpoint.
    static let maximumShards = 10_000

    /// Which shard holds which tensor.
    private(set) var shardOfTensor: [String: String] = [:]
    /// The shards' file names.
    private(set) var shards: Set<String> = []
    /// `metadata.total_size` as it stands there; absent in some checkpoints.
    private(set) var totalSize: String?
    private let file: String

    init(path: String) throws {
        file = path
        let mapping = try MappedFile(path: path)
        guard mapping.count <= Self.maximumLength else { throw refusal("\(mapping.count) bytes long") }
        do {
            try withExtendedLifetime(mapping) { try parse(mapping.bytes) }
        } catch JSONCursor.Fault.syntax(let what, let offset) {
            throw refusal("\(what) at byte \(offset)")
        } catch JSONCursor.Fault.invalidUTF8(let offset) {
            throw refusal("not UTF-8 at byte \(offset)")
        }
    }

    private func refusal(_ what: String) -> SafetensorsError {
        SafetensorsError(file: file, reason: .invalidIndex(what))
    }

    private mutating func parse(_ bytes: UnsafeRawBufferPointer) throws {
        var cursor = JSONCursor(bytes)
        var seen: Set<String> = []
        try cursor.object { cursor, key in
            guard seen.insert(key).inserted else { throw SafetensorsError(file: file, reason: .duplicateKey(key)) }
            switch key {
            case "weight_map": try parseMap(&cursor)
            case "metadata": try parseMetadata(&cursor)
            default: try cursor.skipValue()
            }
        }
        try cursor.end()
        guard seen.contains("weight_map"), !shardOfTensor.isEmpty else { throw refusal("it lists no tensors") }
    }

    private mutating func parseMap(_ cursor: inout JSONCursor) throws {
        try cursor.object { cursor, tensor in
            guard cursor.peek() == UInt8(ascii: "\"") else {
                throw refusal("weight_map must map names to file names (byte \(cursor.offset))")
            }
            let shard = try cursor.string()
            guard Self.isPlainName(shard) else {
                throw SafetensorsError(file: file, tensor: tensor, reason: .unsafeShardName(shard))
            }
            if let other = shardOfTensor[tensor] {
                throw SafetensorsError(file: file, tensor: tensor, reason: .inTwoShards(other, shard))
            }
            guard shardOfTensor.count < Self.maximumTensors else {
                throw SafetensorsError(file: file, reason: .tooManyKeys(limit: Self.maximumTensors))
            }
            shardOfTensor[tensor] = shard
            if shards.insert(shard).inserted, shards.count > Self.maximumShards {
                throw refusal("more than \(Self.maximumShards) shards")
            }
        }
    }

    private mutating func parseMetadata(_ cursor: inout JSONCursor) throws {
        // Some writers leave null here.
        guard cursor.peek() == UInt8(ascii: "{") else { return try cursor.skipValue() }
        try cursor.object { cursor, key in
            guard key == "total_size" else { return try cursor.skipValue() }
            guard totalSize == nil else { throw SafetensorsError(file: file, reason: .duplicateKey(key)) }
            totalSize = try cursor.number()
        }
    }

    /// A file of the same folder and nothing else.
    static func isPlainName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && name.utf8.count <= 255 && !name.hasPrefix(".")
            && !name.utf8.contains { $0 < 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
    }
}
