public import Foundation
public import Models
internal import NN
internal import Safetensors
internal import Torch

/// An adapter and its base made into one checkpoint.
public enum AdapterMerge {
    public struct Report: Sendable, Hashable {
        /// Matrices that changed.
        public var merged: Int
        /// Tensors of the checkpoint.
        public var tensors: Int
        public var bytes: Int
    }

    /// Writes a checkpoint whose matrices hold the adapter's change, each computed in float32 and rounded once to the
    /// type that the base stores it in. All other tensors keep their bytes, and all tensors their names.
    ///
    /// - Parameters:
    ///   - folder: a model with an adapter.
    ///   - output: a new folder.
    public static func write(_ folder: ModelFolder, to output: URL) throws -> Report {
        guard let adapter = folder.adapter else {
            throw ConfigurationError(file: folder.url.path, reason: "holds no adapter; there is nothing to merge")
        }
        if FileManager.default.fileExists(atPath: output.path) {
            throw ConfigurationError(file: output.path, reason: "is there already; name a new folder")
        }
        let base = try SafetensorsCheckpoint(directory: folder.weights.path)
        let model = try ModelFolder(folder.weights).loadModel()
        let adapters = try adapter.attach(to: model, family: folder.family, base: folder.weights)
        let changes = Dictionary(
            uniqueKeysWithValues: adapters.targets.compactMap { target in target.adapter.map { (target.name, $0) } })
        let sources = try base.names.map { name -> Safetensors.TensorSource in
            let location = try base.location(name), entry = location.entry
            guard let change = changes[folder.family.canonicalName(name)], let dtype = DType(entry.dtype) else {
                return .init(name: name, dtype: entry.dtype, shape: entry.shape) { sink in
                    try location.file.withBytes(of: name, sink)
                }
            }
            return .init(name: name, dtype: entry.dtype, shape: entry.shape) { sink in
                let merged = try change.merged(into: location.file.tensor(name))
                try merged.to(dtype).bytes().withUnsafeBytes(sink)
            }
        }
        let staging = output.deletingLastPathComponent().appending(
            path: ".\(output.lastPathComponent).\(ProcessInfo.processInfo.processIdentifier).partial")
        try? FileManager.default.removeItem(at: staging)
        do {
            try ModelFiles(folder: folder.url).copy(to: staging)
            try SafetensorsWriter.writeCheckpoint(
                directory: staging.path, tensors: sources, metadata: base.metadata)
            try FileManager.default.moveItem(at: staging, to: output)
            try AtomicFile.syncFolder(of: output.path)
        } catch {
            try? FileManager.default.removeItem(at: staging)
            throw error
        }
        return Report(merged: changes.count, tensors: sources.count, bytes: base.byteCount)
    }
}
