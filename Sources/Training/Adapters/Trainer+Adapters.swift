internal import Foundation
internal import Models
internal import NN
internal import Safetensors
internal import Torch

extension Recipe {
    /// Whether nothing of the model itself ever changes, so that its weights can be used where they lie.
    var keepsWeights: Bool { stages.count == 1 && stages[0].lora != nil }
}

extension Trainer {
    /// The adapters that a stage trains, attached to the model; nil for a stage that trains the model itself.
    func attachAdapters(_ stage: Recipe.Stage) throws -> LowRankAdapters? {
        guard let lora = stage.lora else { return nil }
        if let adapters { return adapters }
        let selection = ParameterSelection(lora.on, of: model)
        let linear = model.store.parameters.filter { $0.isLinear && !$0.isConstant }
        for pattern in selection.idle(among: linear.map(\.name)) {
            throw TrainingError.nothingMatches(stage: stage.name, pattern: pattern)
        }
        let targets = linear.filter { parameter in
            lora.on.isEmpty ? model.part(parameter.name) != .head : selection.contains(parameter.name)
        }
        let attached = try LowRankAdapters(
            attachingTo: targets, lora.settings,
            store: ParameterStore(
                .random(seed: recipe.stageSeed(state.stage)), device: model.store.device, writable: true))
        for parameter in attached.store.parameters {
            if let master = masters[parameter.name] { parameter.tensor = master }
        }
        if state.base == nil { state.base = try baseFolder().path }
        adapters = attached
        return attached
    }

    /// The folder with the weights as they are now: where they came from, or a copy in the run's output.
    private func baseFolder() throws -> URL {
        if state.stage == 0, case .checkpoint(let path) = recipe.model.start { return URL(fileURLWithPath: path) }
        let folder = URL(fileURLWithPath: recipe.output).appendingPathComponent("base-of-stage-\(state.stage + 1)")
        try files.copy(to: folder)
        try ModelFiles(folder: folder).set(["torch_dtype": DType.float32.longName], in: "config.json")
        // In float32, so that going on from here gives the same bits as never having stopped.
        try SafetensorsWriter.writeCheckpoint(
            directory: folder.path,
            tensors: model.store.parameters.map { .init(name: $0.name, tensor: masters[$0.name] ?? $0.tensor) },
            metadata: ["format": "pt"])
        return folder
    }

    /// Makes the adapters of a stage that is done a part of the model, where more stages follow.
    func leave(_ stage: Recipe.Stage) throws {
        guard state.stage + 1 < recipe.stages.count, let attached = try attachAdapters(stage) else { return }
        for (name, tensor) in try attached.merged({ self.masters[$0] }) { masters[name] = tensor }
        attached.detach()
        for parameter in attached.store.parameters { masters[parameter.name] = nil }
        for parameter in model.store.parameters {
            if let master = masters[parameter.name] { parameter.tensor = master }
        }
        adapters = nil
        state.base = nil
    }

    /// Writes what a stage learned into a checkpoint's folder.
    func writeWeights(to folder: URL) throws {
        let dtype = recipe.precision.dtype
        if let adapters, let base = state.base {
            try AdapterFolder.write(
                adapters, to: folder, family: family, base: URL(fileURLWithPath: base), dtype: dtype)
        } else {
            try SafetensorsWriter.write(
                path: folder.appendingPathComponent("model.safetensors").path,
                tensors: model.store.tensorSources(dtype: dtype), metadata: ["format": "pt"])
        }
    }
}
