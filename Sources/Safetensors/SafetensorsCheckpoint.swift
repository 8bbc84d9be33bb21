import Foundation

/// The weights of a folder, in one safetensors file or in shards with an index, mapped and checked.
public final class SafetensorsCheckpoint: Sendable {
    /// How much an index must agree with its shards.
    public enum IndexPolicy: Sendable {
        /// Index and shards describe exactly the same tensors, and `total_size` is right.
        case strict
        /// The shards may hold tensors that the index does not list (they are left out), and `total_size` is not
        /// looked at. A tensor that is missing or stands in two shards is refused all the same.
        case lenient
    }

    /// Where a tensor lies.
    public struct Location: Sendable {
        /// The file that holds it; retain its `mapping` for tensors that use the bytes in place.
        public let file: SafetensorsFile
        /// Shape, type and bytes.
        public let entry: TensorEntry
    }

    /// The folder as given.
    public let directory: String
    /// The mapped files, by name.
    public let files: [SafetensorsFile]
    /// All tensors by name.
    public let tensors: [String: Location]
    /// The names, file by file in the order of the bytes: the quickest order to read them in.
    public let names: [String]
    /// What the writer noted in the files; the first file's word counts.
    public let metadata: [String: String]

    /// Opens the weights of a folder: `<name>.safetensors`, or else the shards of `<name>.safetensors.index.json`.
    ///
    /// - Parameters:
    ///   - directory: the folder; or one `.safetensors` file, which is then all there is.
    ///   - name: the stem of the file names.
    ///   - policy: how much an index must agree with its shards.
    /// - Throws: `SafetensorsError`, `FileSystemError`.
    public init(directory: String, name: String = "model", policy: IndexPolicy = .strict) throws {
        self.directory = directory
        let single = "\(directory)/\(name).safetensors"
        let index = "\(directory)/\(name).safetensors.index.json"
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: directory, isDirectory: &isFolder)
        guard exists else { throw FileSystemError(path: directory, operation: .open, code: ENOENT) }
        if !isFolder.boolValue {
            guard !Self.isPickled(directory) else {
                throw SafetensorsError(file: directory, reason: .pickleOnly(found: directory))
            }
            (files, tensors) = try Self.open(single: directory)
        } else if FileManager.default.fileExists(atPath: single) {
            (files, tensors) = try Self.open(single: single)
        } else if FileManager.default.fileExists(atPath: index) {
            (files, tensors) = try Self.open(directory: directory, index: index, policy: policy)
        } else {
            throw Self.nothing(in: directory, name: name)
        }
        let listed = tensors
        names = files.flatMap { file in file.names.filter { listed[$0]?.file === file } }
        metadata = files.reduce(into: [:]) { all, file in all.merge(file.metadata) { first, _ in first } }
    }

    /// The tensor's place.
    ///
    /// - Throws: `SafetensorsError` with `.missingTensor`.
    public func location(_ tensor: String) throws -> Location {
        guard let location = tensors[tensor] else {
            throw SafetensorsError(file: directory, tensor: tensor, reason: .missingTensor)
        }
        return location
    }

    /// The bytes of all tensors together.
    public var byteCount: Int { tensors.values.reduce(0) { $0 + $1.entry.byteCount } }

    private static func open(single path: String) throws -> ([SafetensorsFile], [String: Location]) {
        let file = try SafetensorsFile(path: path)
        return ([file], file.entries.mapValues { Location(file: file, entry: $0) })
    }

    private static func open(
        directory: String, index path: String, policy: IndexPolicy
    ) throws -> ([SafetensorsFile], [String: Location]) {
        let index = try CheckpointIndex(path: path)
        func refuse(_ tensor: String?, _ reason: SafetensorsError.Reason) -> SafetensorsError {
            SafetensorsError(file: path, tensor: tensor, reason: reason)
        }
        var files: [SafetensorsFile] = []
        var holder: [String: String] = [:]
        var tensors: [String: Location] = [:]
        for shard in index.shards.sorted() {
            let file: SafetensorsFile
            do {
                file = try SafetensorsFile(path: "\(directory)/\(shard)")
            } catch let error as FileSystemError where error.isMissing {
                throw refuse(nil, .missingShard(shard))
            }
            files.append(file)
            for tensor in file.names {
                if let other = holder.updateValue(shard, forKey: tensor) {
                    throw refuse(tensor, .inTwoShards(other, shard))
                }
                if let entry = file.entries[tensor], index.shardOfTensor[tensor] == shard {
                    tensors[tensor] = Location(file: file, entry: entry)
                } else if index.shardOfTensor[tensor] == nil, policy == .strict {
                    throw refuse(tensor, .notInIndex(shard: shard))
                }
            }
        }
        for (tensor, shard) in index.shardOfTensor.sorted(by: { $0.key < $1.key }) where tensors[tensor] == nil {
            throw refuse(tensor, .absentFromShard(shard))
        }
        if policy == .strict, let declared = index.totalSize {
            let actual = files.reduce(0) { $0 + $1.mapping.count - $1.header.dataStart }
            // As a floating-point number too: some writers divide.
            guard Double(declared) == Double(actual) else {
                throw refuse(nil, .totalSize(declared: declared, actual: actual))
            }
        }
        return (files, tensors)
    }

    private static func nothing(in directory: String, name: String) -> SafetensorsError {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let pickled = files.sorted().first(where: isPickled)
        guard let pickled else { return SafetensorsError(file: directory, reason: .noCheckpoint(name: name)) }
        return SafetensorsError(file: directory, reason: .pickleOnly(found: pickled))
    }

    private static func isPickled(_ file: String) -> Bool {
        [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".bin.index.json"].contains { file.hasSuffix($0) }
    }
}
