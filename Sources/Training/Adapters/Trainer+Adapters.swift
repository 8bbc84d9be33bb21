internal import Foundation
internal import Models
internal import NN
internal import Safetensors
internal import Torch

extension Recipe {
    /// Whether nothing of the model itself ever changes, so that its weights can be used where they lie.
    var keepsWeights: Bool { stages.count == 1 && stages[0].lora != nil }

    /// Matrices of the blocks of tower and decoder that are held in 4 bits below their adapters; none unless the recipe
    /// says so.
    func quantizedNames(_ family: any ModelFamily) throws -> Set<String> {
        guard let stage = stages.first, let lora = stage.lora, lora.baseBits != nil else { return [] }
        let model = try family.makeModel(ParameterStore(.shapes))
        return try Set(lora.targets(in: model, stage: stage.name).map(\.name))
            .intersection(model.store.blocks.joined().map(\.name))
    }

    /// Parameters of blocks that come to the device only while they are at work in one of the stages.
    func namesOnCPU(_ family: any ModelFamily) throws -> Set<String> {
        guard stages.contains(where: { $0.memory.offload == .parameters }), device != .cpu else { return [] }
        let blocks = try family.makeModel(ParameterStore(.shapes)).store.blocks.joined()
        return Set(blocks.filter { !$0.isConstant }.map(\.name))
    }
}

extension Recipe.LowRank {
    /// The matrices that get adapters.
    func targets(in model: VisionLanguageModel, stage: String) throws -> [Parameter] {
        let selection = ParameterSelection(on, of: model)
        let linear = model.store.parameters.filter { $0.isLinear && !$0.isConstant }
        for pattern in selection.idle(among: linear.map(\.name)) {
            throw TrainingError.nothingMatches(stage: stage, pattern: pattern)
        }
        return linear.filter { on.isEmpty ? model.part($0.name) != .head : selection.contains($0.name) }
    }
}

extension Trainer {
    /// The adapters that a stage trains, attached to the model; nil for a stage that trains the model itself.
    func attachAdapters(_ stage: Recipe.Stage) throws -> LowRankAdapters? {
        guard let lora = stage.lora else { return nil }
        if let adapters { return adapters }
        let attached = try LowRankAdapters(
            attachingTo: lora.targets(in: model, stage: stage.name), lora.settings,
            store: ParameterStore(
                .random(seed: recipe.stageSeed(state.stage)), device: model.store.device, writable: true),
            weight: { [masters, recipe] in try masters[$0.name]?.to(recipe.precision.dtype) ?? $0.value() })
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
        return try group.folderFromMain("writing the weights below the adapters") {
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
    ///
    /// - Parameter values: what to write in the place of parameters' tensors: whole ones of blocks of which this process
    ///   holds a share, or means.
    func writeWeights(to folder: URL, replacing values: [String: Tensor]) throws {
        let dtype = recipe.precision.dtype
        if let adapters, let base = state.base {
            try AdapterFolder.write(
                adapters, to: folder, family: family, base: URL(fileURLWithPath: base), dtype: dtype,
                replacing: values)
        } else {
            try SafetensorsWriter.write(
                path: folder.appendingPathComponent("model.safetensors").path,
                tensors: model.store.parameters.map { parameter in
                    .init(name: parameter.name, tensor: try (values[parameter.name] ?? parameter.tensor).to(dtype))
                }, metadata: ["format": "pt"])
        }
    }

    /// Writes a model with the means of what learns into `ema` in a checkpoint's folder: a folder like any other model's.
    func writeAverage(to checkpoint: URL, replacing values: [String: Tensor]) throws {
        let folder = checkpoint.appendingPathComponent("ema")
        try files.copy(to: folder)
        try ModelFiles(folder: folder).set(["torch_dtype": recipe.precision.dtype.longName], in: "config.json")
        try writeWeights(to: folder, replacing: values)
    }
}
