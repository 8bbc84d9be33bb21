public import Foundation
internal import Models
internal import NN
internal import Safetensors
internal import Torch

/// Several models of one shape made into one by the mean of their weights (Wortsman et al. 2022; POINTS, section 3.3).
public struct ModelSoup {
    public struct Candidate: Sendable, Codable {
        public var folder: String
        /// On held-out data; nil where nothing chose.
        public var loss: Double?
        public var isUsed: Bool
    }

    public struct Report: Sendable, Codable {
        public var candidates: [Candidate]
        /// Of the soup.
        public var loss: Double?
        public var tensors: Int
    }

    private let folders: [ModelFolder]
    private let checkpoints: [SafetensorsCheckpoint]

    /// - Throws: `ConfigurationError` for folders that do not hold the same tensors.
    public init(_ urls: [URL]) throws {
        folders = try urls.map { try ModelFolder($0) }
        checkpoints = try urls.map { try SafetensorsCheckpoint(directory: $0.path) }
        guard let first = checkpoints.first, checkpoints.count > 1 else {
            throw ConfigurationError(
                file: urls.first?.path ?? "", reason: "is alone; a soup is made of two or more models")
        }
        for other in checkpoints.dropFirst() {
            for name in Set(first.names).union(other.names).sorted() {
                guard let mine = first.tensors[name], let its = other.tensors[name] else {
                    let lacking = first.tensors[name] == nil ? first.directory : other.directory
                    throw ConfigurationError(file: lacking, field: name, reason: "is missing, but another model has it")
                }
                guard mine.entry.shape == its.entry.shape else {
                    throw ConfigurationError(
                        file: other.directory, field: name,
                        reason: "has the shape \(its.entry.shape), and in \(first.directory) \(mine.entry.shape)")
                }
            }
        }
    }

    /// Writes the mean of the chosen models into a new folder, each tensor in the type that the first model stores it
    /// in, summed in float32.
    ///
    /// - Parameters:
    ///   - heldOut: what greedy selection measures the loss on; nil takes all models. Best first, a model stays if the
    ///     loss of the mean does not rise.
    ///   - progress: told what has been measured.
    public func write(
        to output: URL, heldOut recipe: Recipe? = nil, progress: (String) -> Void = { _ in }
    ) throws -> Report {
        if FileManager.default.fileExists(atPath: output.path) {
            throw ConfigurationError(file: output.path, reason: "is there already; name a new folder")
        }
        var report = Report(
            candidates: folders.map { Candidate(folder: $0.url.path, isUsed: true) },
            tensors: checkpoints[0].names.count)
        if let recipe { try choose(&report, recipe, progress) }
        let used = checkpoints.indices.filter { report.candidates[$0].isUsed }
        let sources = try checkpoints[0].names.map { name -> Safetensors.TensorSource in
            let entry = try checkpoints[0].location(name).entry
            return .init(name: name, dtype: entry.dtype, shape: entry.shape) { sink in
                let parts = try used.map { try checkpoints[$0].location(name).file.tensor(name) }
                guard let dtype = DType(entry.dtype), dtype.isFloatingPoint, parts.count > 1 else {
                    return try parts[0].bytes().withUnsafeBytes(sink)
                }
                var sum = try parts[0].to(.float32)
                for part in parts.dropFirst() { sum = try sum + part.to(.float32) }
                try (sum * (1 / Double(parts.count))).to(dtype).bytes().withUnsafeBytes(sink)
            }
        }
        let staging = output.deletingLastPathComponent().appending(
            path: ".\(output.lastPathComponent).\(ProcessInfo.processInfo.processIdentifier).partial")
        try? FileManager.default.removeItem(at: staging)
        do {
            try ModelFiles(folder: folders[0].url).copy(to: staging)
            try SafetensorsWriter.writeCheckpoint(
                directory: staging.path, tensors: sources, metadata: checkpoints[0].metadata)
            try FileManager.default.moveItem(at: staging, to: output)
            try AtomicFile.syncFolder(of: output.path)
        } catch {
            try? FileManager.default.removeItem(at: staging)
            throw error
        }
        return report
    }

    private func choose(_ report: inout Report, _ recipe: Recipe, _ progress: (String) -> Void) throws {
        guard let heldOut = recipe.heldOut else {
            throw RecipeError(file: recipe.name, key: "held_out", reason: "is missing; greedy selection measures on it")
        }
        let measure = try HeldOutLoss(heldOut, recipe: recipe, processor: folders[0].processor)
        let threads = WorkerThreads(recipe.threads)
        defer { threads.stop() }
        let model = try folders[0].loadModel(dtype: .float32, writable: true)
        func loss(_ values: (Parameter) throws -> Tensor) throws -> Double {
            try withoutGradient {
                for parameter in model.store.parameters { try parameter.tensor.copy(from: values(parameter)) }
            }
            return try measure(model, threads: threads, step: 0).loss
        }
        // Keys of a checkpoint may have newer names than the model's.
        let names = Dictionary(
            checkpoints[0].names.map { (folders[0].family.canonicalName($0), $0) }
        ) { first, _ in first }
        func weight(_ parameter: Parameter, _ index: Int) throws -> Tensor {
            let name = names[parameter.name] ?? parameter.name
            return try checkpoints[index].location(name).file.tensor(name).to(.float32)
        }
        for index in folders.indices {
            let value = try loss { try weight($0, index) }
            report.candidates[index].loss = value
            report.candidates[index].isUsed = false
            progress("\(folders[index].url.path): loss \(value)")
        }
        let order = folders.indices.sorted {
            (report.candidates[$0].loss ?? .infinity, $0) < (report.candidates[$1].loss ?? .infinity, $1)
        }
        var pool: [Int] = [], best = Double.infinity
        for index in order {
            let tried = pool + [index]
            let value = try loss { parameter in
                var sum = try weight(parameter, tried[0])
                for other in tried.dropFirst() { sum = try sum + weight(parameter, other) }
                return try sum * (1 / Double(tried.count))
            }
            guard pool.isEmpty || value <= best else { continue }
            (pool, best) = (tried, value)
            report.candidates[index].isUsed = true
            progress("mean of \(pool.count): loss \(value)")
        }
        report.loss = best
    }
}
