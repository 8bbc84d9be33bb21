/// Reads the JSON of a header into entries whose ranges still count from the start of the data.
struct HeaderParser {
    let file: String
    private(set) var entries: [String: TensorEntry] = [:]
    private(set) var metadata: [String: String] = [:]
    private var hasMetadata = false

    init(file: String) { self.file = file }

    private func refusal(_ tensor: String?, _ reason: SafetensorsError.Reason) -> SafetensorsError {
        SafetensorsError(file: file, tensor: tensor, reason: reason)
    }

    mutating func parse(_ header: UnsafeRawBufferPointer) throws {
        var cursor = JSONCursor(header)
        try cursor.object { cursor, name in
            if name == "__metadata__" {
                guard !hasMetadata else { throw refusal(nil, .duplicateKey(name)) }
                hasMetadata = true
                try parseMetadata(&cursor)
                return
            }
            guard entries.count < SafetensorsHeader.maximumKeys else {
                throw refusal(nil, .tooManyKeys(limit: SafetensorsHeader.maximumKeys))
            }
            guard Self.isUsable(name) else { throw refusal(name, .unusableName) }
            guard entries[name] == nil else { throw refusal(name, .duplicateKey(name)) }
            entries[name] = try parseEntry(&cursor, name)
        }
        try cursor.end()
    }

    /// A name that programs may show and group by its dots and slashes, and never climbs out of anything.
    static func isUsable(_ name: String) -> Bool {
        guard !name.isEmpty, name.utf8.count <= SafetensorsHeader.maximumNameLength, name != "__metadata__",
            name.utf8.first != UInt8(ascii: "/"), !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
        else { return false }
        return !name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).contains {
            $0.elementsEqual("..".utf8)
        }
    }

    private mutating func parseMetadata(_ cursor: inout JSONCursor) throws {
        guard cursor.peek() == UInt8(ascii: "{") else {
            throw refusal(nil, .invalidMetadata(offset: cursor.offset))
        }
        try cursor.object { cursor, key in
            guard cursor.peek() == UInt8(ascii: "\"") else {
                throw refusal(nil, .invalidMetadata(offset: cursor.offset))
            }
            guard metadata.count < SafetensorsHeader.maximumKeys else {
                throw refusal(nil, .tooManyKeys(limit: SafetensorsHeader.maximumKeys))
            }
            guard metadata.updateValue(try cursor.string(), forKey: key) == nil else {
                throw refusal(nil, .duplicateKey(key))
            }
        }
    }

    private func parseEntry(_ cursor: inout JSONCursor, _ name: String) throws -> TensorEntry {
        var dtype: StoredDType?
        var shape: [Int]?
        var offsets: [Int]?
        guard cursor.peek() == UInt8(ascii: "{") else {
            throw refusal(name, .invalidEntry("the entry is not an object"))
        }
        try cursor.object { cursor, field in
            let opening = cursor.peek()
            switch field {
            case "dtype":
                guard dtype == nil else { throw refusal(name, .duplicateKey(field)) }
                guard opening == UInt8(ascii: "\"") else {
                    throw refusal(name, .invalidEntry("dtype is not a string"))
                }
                let text = try cursor.string()
                guard let known = StoredDType(rawValue: text) else { throw refusal(name, .unknownDType(text)) }
                dtype = known
            case "shape":
                guard shape == nil else { throw refusal(name, .duplicateKey(field)) }
                shape = try parseSizes(&cursor, name, field)
            case "data_offsets":
                guard offsets == nil else { throw refusal(name, .duplicateKey(field)) }
                offsets = try parseSizes(&cursor, name, field)
            default:
                throw refusal(name, .invalidEntry("unknown field '\(SafetensorsError.printable(field))'"))
            }
        }
        guard let dtype else { throw refusal(name, .invalidEntry("dtype is missing")) }
        guard let shape else { throw refusal(name, .invalidEntry("shape is missing")) }
        guard let offsets else { throw refusal(name, .invalidEntry("data_offsets is missing")) }
        return try checked(name, dtype, shape, offsets)
    }

    private func parseSizes(_ cursor: inout JSONCursor, _ name: String, _ field: String) throws -> [Int] {
        guard cursor.peek() == UInt8(ascii: "[") else {
            throw refusal(name, .invalidEntry("\(field) is not an array"))
        }
        var sizes: [Int] = []
        try cursor.array { cursor in
            guard sizes.count < SafetensorsHeader.maximumDimensions else {
                throw refusal(name, .tooManyDimensions(sizes.count + 1))
            }
            do {
                sizes.append(try cursor.size())
            } catch JSONCursor.Fault.syntax(let what, _) {
                throw refusal(name, .invalidEntry("\(field): \(what)"))
            }
        }
        return sizes
    }

    private func checked(
        _ name: String, _ dtype: StoredDType, _ shape: [Int], _ offsets: [Int]
    ) throws -> TensorEntry {
        guard offsets.count == 2, let start = offsets.first, let end = offsets.last else {
            throw refusal(name, .invalidEntry("data_offsets has \(offsets.count) numbers instead of 2"))
        }
        guard start <= end else { throw refusal(name, .offsetsReversed(start: start, end: end)) }
        switch dtype.fit(shape) {
        case .overflow: throw refusal(name, .shapeOverflow(shape))
        case .partialByte: throw refusal(name, .partialByte)
        case .bytes(let needed):
            guard needed == end - start else {
                throw refusal(name, .sizeMismatch(needed: needed, given: end - start))
            }
        }
        // The end must leave room for the header that ranges are shifted by.
        guard end <= Int.max - SafetensorsHeader.maximumLength - 8 else {
            throw refusal(name, .shapeOverflow(shape))
        }
        return TensorEntry(dtype: dtype, shape: shape, byteRange: start..<end)
    }
}
