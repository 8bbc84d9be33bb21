import Foundation

extension SafetensorsWriter {
    /// The largest shard unless said otherwise: 5 GB, as the hub's tools cut them.
    public static let defaultShardSize = 5_000_000_000

    /// Writes a checkpoint into a folder: `model.safetensors` where everything fits into one shard, else
    /// `model-00001-of-0000N.safetensors` and so on with `model.safetensors.index.json`, the index last.
    ///
    /// Each file is atomic. Several files are not: over an older checkpoint of the same shard names, a crash half-way
    /// leaves a mixture. Write to a new folder and rename that, as the trainer does. When all is on the disk, files of
    /// an older checkpoint of the same `name` that readers might prefer are removed.
    ///
    /// - Parameters:
    ///   - directory: an existing folder.
    ///   - name: the stem of the file names.
    ///   - maxShardSize: the most tensor bytes in a shard; a larger tensor gets a shard for itself.
    /// - Returns: the names of the files written, the index last.
    /// - Throws: as `write`.
    @discardableResult
    public static func writeCheckpoint(
        directory: String, name: String = "model", tensors: [TensorSource], metadata: [String: String] = [:],
        maxShardSize: Int = defaultShardSize
    ) throws -> [String] {
        let shards = try shards(tensors, maxShardSize: maxShardSize, directory: directory)
        var written: [String] = []
        if shards.count <= 1 {
            written.append("\(name).safetensors")
            try write(path: "\(directory)/\(name).safetensors", tensors: tensors, metadata: metadata)
        } else {
            var places: [(tensor: String, shard: String)] = []
            for (index, shard) in shards.enumerated() {
                let file = shardName(name, index + 1, of: shards.count)
                try write(path: "\(directory)/\(file)", tensors: shard.map(\.source), metadata: metadata)
                places += shard.map { ($0.source.name, file) }
                written.append(file)
            }
            let total = shards.joined().reduce(0) { $0 + $1.byteCount }
            written.append("\(name).safetensors.index.json")
            try atomicWrite("\(directory)/\(name).safetensors.index.json", Array(index(places, total: total).utf8))
        }
        try removeOlder(directory, name, keeping: Set(written))
        return written
    }

    static func shards(
        _ tensors: [TensorSource], maxShardSize: Int, directory: String
    ) throws -> [[(source: TensorSource, byteCount: Int)]] {
        // Sized in the caller's order, which is the model's: neighbours in the model stay neighbours in the files.
        let sizes = Dictionary(
            uniqueKeysWithValues: try order(tensors, file: directory).map { ($0.source.name, $0.byteCount) })
        var shards: [[(source: TensorSource, byteCount: Int)]] = []
        var room = 0
        for tensor in tensors {
            let size = sizes[tensor.name] ?? 0
            if shards.isEmpty || size > room {
                shards.append([])
                room = maxShardSize
            }
            shards[shards.count - 1].append((tensor, size))
            room -= size
        }
        return shards
    }

    private static func shardName(_ name: String, _ index: Int, of count: Int) -> String {
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "\(name)-\(padded(index))-of-\(padded(count)).safetensors"
    }

    private static func index(_ places: [(tensor: String, shard: String)], total: Int) -> String {
        let map = places.sorted { $0.tensor < $1.tensor }.map {
            "    \(HeaderEncoder.quoted($0.tensor)): \(HeaderEncoder.quoted($0.shard))"
        }
        return """
            {
              "metadata": {
                "total_size": \(total)
              },
              "weight_map": {
            \(map.joined(separator: ",\n"))
              }
            }

            """
    }

    private static func removeOlder(_ directory: String, _ name: String, keeping written: Set<String>) throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: directory)
        let shard = try Regex("-[0-9]{5}-of-[0-9]{5}\\.safetensors")
        var removed = false
        for file in files where !written.contains(file) && file.hasPrefix(name) {
            let rest = String(file.dropFirst(name.count))
            guard rest == ".safetensors" || rest == ".safetensors.index.json" || rest.wholeMatch(of: shard) != nil
            else { continue }
            try FileManager.default.removeItem(atPath: "\(directory)/\(file)")
            removed = true
        }
        if removed { try AtomicFile.syncFolder(of: "\(directory)/\(name)") }
    }
}
