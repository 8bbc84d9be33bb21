extension SafetensorsError {
    var fault: String {
        switch reason {
        case .fileTooSmall(let bytes): "only \(bytes) bytes long, a header length alone takes 8"
        case .headerTooLarge(let bytes): "the header claims \(bytes) bytes, the format allows 100000000"
        case .headerTooSmall(let bytes): "the header claims \(bytes) bytes, the smallest is 2"
        case .headerBeyondFile(let header, let file): "the header claims \(header) bytes, the file has \(file)"
        case .headerStart(let byte): "the header starts with byte \(byte) instead of '{'"
        case .invalidUTF8(let offset): "the header is not UTF-8 at byte \(offset)"
        case .invalidJSON(let what, let offset): "the header is not valid JSON at byte \(offset): \(what)"
        case .duplicateKey(let key): "the key '\(Self.printable(key))' stands twice"
        case .tooManyKeys(let limit): "more than \(limit) keys"
        case .unusableName: "the name is empty, over 4096 bytes, has control characters or is a path out of a folder"
        case .invalidMetadata(let offset): "__metadata__ must map strings to strings (byte \(offset))"
        case .invalidEntry(let what): what
        case .unknownDType(let name): "unknown dtype '\(Self.printable(name))'"
        case .tooManyDimensions(let count): "\(count) dimensions, at most 64 are read"
        case .shapeOverflow(let shape): "the shape \(shape.prefix(8)) does not fit 64-bit sizes"
        case .partialByte: "the elements do not fill whole bytes"
        case .offsetsReversed(let start, let end): "data_offsets end (\(end)) before they start (\(start))"
        case .sizeMismatch(let needed, let given): "shape and dtype need \(needed) bytes, data_offsets give \(given)"
        case .overlap(let other): "shares bytes with tensor '\(Self.printable(other))'"
        case .hole(let expected, let found): "starts at byte \(found) where \(expected) was due: bytes of no tensor"
        case .dataLength(let declared, let inFile): "the tensors take \(declared) bytes, the file holds \(inFile)"
        case .missingTensor: "no such tensor"
        case .notAFile: "not a regular file"
        case .noCheckpoint(let name): "neither \(name).safetensors nor \(name).safetensors.index.json is there"
        case .pickleOnly(let found): "only pickled weights are there (\(found)), which can run code and are never read"
        case .invalidIndex(let what): "not a valid index: \(what)"
        case .unsafeShardName(let name): "the index names '\(Self.printable(name))', not a plain .safetensors file name"
        case .missingShard(let name): "the shard \(Self.printable(name)) is missing"
        case .absentFromShard(let shard): "the index says it is in \(shard), and it is not"
        case .inTwoShards(let first, let second): "held by both \(first) and \(second)"
        case .notInIndex(let shard): "held by \(shard) but not listed in the index"
        case .totalSize(let declared, let actual): "total_size says \(declared), the tensors take \(actual) bytes"
        case .providedBytes(let needed, let given): "shape and dtype need \(needed) bytes, \(given) were provided"
        case .nameTwice: "given twice"
        }
    }

    /// What the reader of the message can do.
    public var remedy: String {
        switch reason {
        case .fileTooSmall, .headerBeyondFile, .dataLength, .missingShard:
            "the file is incomplete: fetch or copy it again"
        case .headerTooLarge, .headerTooSmall, .headerStart, .invalidUTF8, .invalidJSON:
            "it is not a safetensors file, or a damaged one: fetch it again"
        case .duplicateKey, .invalidMetadata, .invalidEntry, .shapeOverflow, .partialByte, .offsetsReversed,
            .sizeMismatch, .overlap, .hole, .unusableName, .tooManyDimensions:
            "the file is damaged or forged: fetch it again from a source that you trust"
        case .tooManyKeys: "split the file into shards"
        case .unknownDType: "convert the tensor to a type of the safetensors format"
        case .missingTensor: "check that the checkpoint belongs to this configuration"
        case .notAFile: "name a .safetensors file"
        case .noCheckpoint: "name a folder that holds the weights"
        case .pickleOnly:
            "convert them to safetensors first, for example with safetensors.torch.save_model, and try again"
        case .invalidIndex, .unsafeShardName, .absentFromShard, .inTwoShards:
            "the index does not describe these files: fetch index and shards again, from one source"
        case .notInIndex, .totalSize:
            "fetch index and shards again, or load with the lenient index policy if you trust the shards"
        case .providedBytes, .nameTwice: "this is a fault of the program that saves: report it"
        }
    }
}
