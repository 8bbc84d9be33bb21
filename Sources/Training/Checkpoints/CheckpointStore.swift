internal import Foundation
internal import Models
internal import NN
internal import Safetensors
internal import Torch

/// The checkpoints of a run: `step-000100/` with the model in Hugging Face layout, and `training/` in it with all that
/// going on needs.
struct CheckpointStore {
    let output: URL
    let keep: Int

    private static let optimizerFile = "training/optimizer.safetensors"
    private static let stateFile = "training/state.json"

    private var best: URL { output.appendingPathComponent("best") }
    private var latest: URL { output.appendingPathComponent("latest") }

    static func name(_ step: Int) -> String {
        let digits = String(step)
        return "step-" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    /// Folders of checkpoints, newest first. Nothing is said about whether they are whole.
    func folders() -> [URL] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: output.path)) ?? []
        return names.compactMap { name in Self.step(of: name).map { ($0, name) } }
            .sorted { $0.0 > $1.0 }.map { output.appendingPathComponent($0.1) }
    }

    private static func step(of name: String) -> Int? {
        name.hasPrefix("step-") ? Int(name.dropFirst(5)) : nil
    }

    // MARK: - writing

    /// Writes a checkpoint beside its place and moves it there: a folder with the right name is whole.
    ///
    /// - Parameters:
    ///   - optimizer: its state, see `Optimizer.tensorSources`.
    ///   - masters: float32 values by name, of parameters whose tensors are of another type.
    ///   - writeWeights: puts the weights into the folder that it is given.
    @discardableResult
    func save(
        files: ModelFiles, optimizer: [Safetensors.TensorSource], masters: [String: Tensor], state: TrainingState,
        dtype: DType, writeWeights: (URL) throws -> Void
    ) throws -> URL {
        let manager = FileManager.default
        let name = Self.name(state.step)
        let target = output.appendingPathComponent(name)
        let staging = output.appendingPathComponent(".\(name).\(ProcessInfo.processInfo.processIdentifier).partial")
        try? manager.removeItem(at: staging)
        try manager.createDirectory(at: output, withIntermediateDirectories: true)
        do {
            for folder in [staging.path, staging.appendingPathComponent("training").path] {
                _ = try FileFaults.perform(.create, folder) { mkdir(folder, 0o777) }
            }
            try files.copy(to: staging)
            try ModelFiles(folder: staging).set(["torch_dtype": dtype.longName], in: "config.json")
            try writeWeights(staging)
            try SafetensorsWriter.write(
                path: staging.appendingPathComponent(Self.optimizerFile).path,
                tensors: optimizer
                    + masters.map { .init(name: "master." + $0.key, tensor: $0.value) })
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            try atomicWrite(staging.appendingPathComponent(Self.stateFile).path, encoder.encode(state))
            try CheckpointManifest(of: staging).write(to: staging)
            // A checkpoint of the same step can only come from a run that was resumed from an older one.
            if manager.fileExists(atPath: target.path) { try manager.removeItem(at: target) }
            _ = try FileFaults.perform(.rename, target.path) { rename(staging.path, target.path) }
            try AtomicFile.syncFolder(of: target.path)
        } catch {
            try? manager.removeItem(at: staging)
            throw error
        }
        try atomicWrite(latest.path, Data((name + "\n").utf8))
        let best = state.best.map { Self.name($0.step) }
        if let best, best == name { try atomicWrite(self.best.path, Data((name + "\n").utf8)) }
        for old in folders().dropFirst(keep) where ![name, best].contains(old.lastPathComponent) {
            // One that cannot be removed is in nobody's way.
            try? manager.removeItem(at: old)
        }
        return target
    }

    /// Removes what saves that were cut short have left. Only one run writes into an output.
    func removePartial() -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: output.path)) ?? []
        return names.filter { $0.hasPrefix(".step-") && $0.hasSuffix(".partial") }.filter { name in
            (try? FileManager.default.removeItem(at: output.appendingPathComponent(name))) != nil
        }
    }

    // MARK: - beginning

    /// Where a run starts: in a checkpoint, or in a copy of the model's files.
    struct Beginning {
        var folder: URL
        /// What every checkpoint gets beside its weights.
        var files: ModelFiles
        var state: TrainingState
        var resumedFrom: URL?
    }

    /// Finds the newest whole checkpoint, or makes the output of a new run.
    ///
    /// - Throws: `CheckpointError.exists` when the output holds a run and `resume` is false.
    func begin(_ loaded: Recipe.Loaded, resume: Bool, _ observer: any TrainingObserver) throws -> Beginning {
        let base = output.appendingPathComponent("base")
        if resume {
            for name in removePartial() { observer.note("removed \(name), a save that was cut short") }
            let found = try newest()
            for line in found.damaged { observer.note("passed over \(line)") }
            var state = found.state
            let inputs = RunInputs(loaded.recipe)
            func changes(_ allowed: Set<String>) -> [String] {
                RecipeComparison.differences(state.recipe, loaded.text, allowed: allowed)
                    + inputs.differences(from: state.inputs ?? [:], allowed: allowed)
            }
            let refused = changes(loaded.allowedChanges)
            if !refused.isEmpty { throw CheckpointError.changedRecipe(folder: found.folder.path, lines: refused) }
            for line in changes([]) { observer.note("changed, as allowed: \(line)") }
            state.recipe = loaded.text
            state.inputs = inputs.digests
            // Not those of the checkpoint that the run goes on from: it makes room for newer ones.
            if !FileManager.default.fileExists(atPath: base.path) {
                try ModelFiles(folder: found.folder).copy(to: base)
            }
            return Beginning(
                folder: found.folder, files: ModelFiles(folder: base), state: state, resumedFrom: found.folder)
        }
        if !folders().isEmpty { throw CheckpointError.exists(folder: output.path) }
        var state = TrainingState()
        state.recipe = loaded.text
        state.inputs = RunInputs(loaded.recipe).digests
        try loaded.recipe.model.copyFiles(to: base)
        try loaded.recipe.model.applyPixelLimits(in: ModelFiles(folder: base))
        return Beginning(folder: base, files: ModelFiles(folder: base), state: state, resumedFrom: nil)
    }

    // MARK: - reading

    struct Found {
        let folder: URL
        let state: TrainingState
        /// Newer folders that were passed over, with the reason.
        let damaged: [String]
    }

    /// The newest checkpoint that is what was written.
    func newest() throws -> Found {
        var damaged: [String] = []
        for folder in folders() {
            if let problem = CheckpointManifest.problem(of: folder) {
                damaged.append("\(folder.path): \(problem)")
                continue
            }
            do {
                let data = try Data(contentsOf: folder.appendingPathComponent(Self.stateFile))
                let state = try JSONDecoder().decode(TrainingState.self, from: data)
                return Found(folder: folder, state: state, damaged: damaged)
            } catch { damaged.append("\(folder.path): \(Self.stateFile) cannot be read") }
        }
        if let first = damaged.first { throw CheckpointError.damaged(folder: output.path, reason: first) }
        throw CheckpointError.none(folder: output.path)
    }

    /// The float32 weights of a checkpoint by name.
    static func masters(of folder: URL, on device: (String) -> Device = { _ in .cpu }) throws -> [String: Tensor] {
        let file = try SafetensorsFile(path: folder.appendingPathComponent(optimizerFile).path)
        return Dictionary(
            uniqueKeysWithValues: try file.names.filter { $0.hasPrefix("master.") }
                .map { (String($0.dropFirst(7)), try file.tensor($0).to(device(String($0.dropFirst(7))))) })
    }

    /// Restores moments and step counts.
    static func restore(_ optimizer: Optimizer, from folder: URL) throws {
        let file = try SafetensorsFile(path: folder.appendingPathComponent(optimizerFile).path)
        try optimizer.restore { name in
            file.entries[name] == nil ? nil : try file.tensor(name)
        }
    }
}
