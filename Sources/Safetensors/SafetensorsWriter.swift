/// Writes safetensors files, each complete or not at all.
public enum SafetensorsWriter {
    /// Writes one file, through a temporary one beside it. What was there before stays until the new file is on the
    /// disk, stays for good when something fails, and stays readable for who has it mapped: saving over the checkpoint
    /// that the model was loaded from is safe.
    ///
    /// The bytes are the reference's: larger element types first, then by name, the header padded to 8 bytes, so that
    /// every tensor is aligned.
    ///
    /// - Throws: `FileSystemError` (`isOutOfSpace` tells a full disk), `SafetensorsError` for impossible tensors, and
    ///   what a provider throws.
    public static func write(path: String, tensors: [TensorSource], metadata: [String: String] = [:]) throws {
        let ordered = try order(tensors, file: path)
        let header = try HeaderEncoder.encode(ordered.map { ($0.source, $0.byteCount) }, metadata, file: path)
        let file = try AtomicFile(path: path)
        try file.write(header)
        for (source, byteCount) in ordered {
            let start = file.count
            try source.provide { bytes in
                // Checked before it is written: a provider that never ends must not fill the disk.
                guard file.count - start + bytes.count <= byteCount else {
                    throw refusal(path, source, byteCount, given: file.count - start + bytes.count)
                }
                try file.write(bytes)
            }
            guard file.count - start == byteCount else {
                throw refusal(path, source, byteCount, given: file.count - start)
            }
        }
        try file.commit()
    }

    private static func refusal(
        _ path: String, _ source: TensorSource, _ needed: Int, given: Int
    ) -> SafetensorsError {
        SafetensorsError(file: path, tensor: source.name, reason: .providedBytes(needed: needed, given: given))
    }

    /// The order of the bytes, after the checks that a reader would make.
    static func order(_ tensors: [TensorSource], file: String) throws -> [(source: TensorSource, byteCount: Int)] {
        var seen: Set<String> = []
        let sized = try tensors.map { source in
            func refuse(_ reason: SafetensorsError.Reason) -> SafetensorsError {
                SafetensorsError(file: file, tensor: source.name, reason: reason)
            }
            guard HeaderParser.isUsable(source.name) else { throw refuse(.unusableName) }
            guard seen.insert(source.name).inserted else { throw refuse(.nameTwice) }
            guard source.shape.count <= SafetensorsHeader.maximumDimensions else {
                throw refuse(.tooManyDimensions(source.shape.count))
            }
            switch source.dtype.fit(source.shape) {
            case .bytes(let count): return (source: source, byteCount: count)
            case .overflow: throw refuse(.shapeOverflow(source.shape))
            case .partialByte: throw refuse(.partialByte)
            }
        }
        return sized.sorted { left, right in
            (-left.source.dtype.bitCount, left.source.dtype.rawValue, left.source.name)
                < (-right.source.dtype.bitCount, right.source.dtype.rawValue, right.source.name)
        }
    }
}

/// Writes the JSON of a header.
enum HeaderEncoder {
    /// The length, the header and its padding: all that comes before the tensors' bytes.
    static func encode(
        _ tensors: [(source: TensorSource, byteCount: Int)], _ metadata: [String: String], file: String
    ) throws -> [UInt8] {
        guard max(tensors.count, metadata.count) <= SafetensorsHeader.maximumKeys else {
            throw SafetensorsError(file: file, reason: .tooManyKeys(limit: SafetensorsHeader.maximumKeys))
        }
        var items: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
            items.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for (source, byteCount) in tensors {
            let (end, overflow) = offset.addingReportingOverflow(byteCount)
            guard !overflow else {
                throw SafetensorsError(file: file, tensor: source.name, reason: .shapeOverflow(source.shape))
            }
            let shape = source.shape.map(String.init).joined(separator: ",")
            items.append(
                "\(quoted(source.name)):{\"dtype\":\"\(source.dtype.rawValue)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var json = [UInt8]("{\(items.joined(separator: ","))}".utf8)
        json.append(contentsOf: repeatElement(0x20, count: (8 - json.count % 8) % 8))
        guard json.count <= SafetensorsHeader.maximumLength else {
            throw SafetensorsError(file: file, reason: .headerTooLarge(bytes: UInt64(json.count)))
        }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }

    /// A JSON string.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
