internal import Models
internal import Torch

extension Recipe {
    /// What the recipe asks for and `omma train` does not do, each with its key. Plans know all of it.
    public func unsupported() -> [String] {
        var problems: [String] = []
        switch model.start {
        case .checkpoint, .random: break
        case .preset(let name):
            problems.append(
                "model.preset: '\(name)' has no weights and no tokenizer; name a folder with --set "
                    + "'model={checkpoint: FOLDER}' or --set 'model={random: FOLDER}'")
        }
        if soup != nil { problems.append("soup: runs are mixed when they are done, with `omma soup`") }
        for stage in stages where stage.lora?.baseBits != nil {
            let key = "stages.\(stage.name).lora.base_bits"
            if stages.count > 1 { problems.append("\(key): goes with one stage; more of them change the weights") }
            if case .random = model.start { problems.append("\(key): goes with model: {checkpoint: FOLDER}") }
        }
        for stage in stages {
            problems += stage.unsupported()
            if objective != nil, let key = stage.keyOfLanguageModels {
                problems.append("stages.\(stage.name).\(key): is of language models; leave it out with an objective")
            }
        }
        if objective != nil, sharding == .full {
            problems.append("sharding.kind: full is of language models; with an objective it goes as far as gradients")
        }
        for (index, source) in (heldOut?.data ?? []).enumerated() {
            problems += source.unsupported("held_out.data.\(index)")
        }
        return problems
    }
}

extension Recipe {
    /// - Throws: `TrainingError.unsupported` for a recipe that `omma train` would not do as it is written.
    public func requireSupport() throws {
        let problems = unsupported()
        if !problems.isEmpty { throw TrainingError.unsupported(problems) }
    }
}

extension Recipe {
    /// Opens the recipe's device. libtorch must find its part for CUDA before it is first asked about it, which computing,
    /// meeting other ranks included, may do.
    ///
    /// - Throws: `TorchError` where this machine does not have it.
    public func openDevice() throws { _ = try Engine.device(named: device.description) }

    /// The device of this process.
    func device(of group: ProcessGroup) throws -> Device {
        try Engine.device(named: device.ofProcess(group.localRank).description)
    }

    /// - Throws: `TrainingError.unsupported` for what sharding over several ranks, or offloading, does not do.
    func requireSharding(ranks: Int) throws {
        var problems: [String] = []
        func refuse(_ key: String, _ reason: String) { problems.append("\(key): \(reason)") }
        let isSpread = sharding == .full && ranks > 1
        if threads > 1, isSpread {
            refuse("threads", "is \(threads); sharding: {kind: full} computes one row at a time")
        }
        for stage in stages {
            let offload = "stages.\(stage.name).memory.offload", regions = "stages.\(stage.name).regions"
            if isSpread, stage.regions != nil {
                refuse(regions, "goes with sharding: {kind: optimizer}, not with full")
            }
            guard stage.memory.offload == .parameters, device != .cpu else { continue }
            if ranks > 1, sharding != .full {
                refuse(offload, "parameters goes with sharding: {kind: full} on several ranks")
            }
            if stage.regions != nil { refuse(regions, "does not go with memory: {offload: parameters}") }
            if threads > 1 {
                refuse("threads", "is \(threads); memory: {offload: parameters} computes one row at a time")
            }
        }
        if !problems.isEmpty { throw TrainingError.unsupported(problems) }
    }
}

extension Recipe.Stage {
    fileprivate func unsupported() -> [String] {
        var problems: [String] = []
        func refuse(_ key: String, _ reason: String) { problems.append("stages.\(name).\(key): \(reason)") }
        if optimizer != .adamw, memory.momentBits == 8 { refuse("memory.moment_bits", "8 goes with adamw") }
        if pictures?.side != nil { refuse("pictures.side", "the size of a model's pictures cannot change by stage") }
        for (index, source) in data.enumerated() { problems += source.unsupported("stages.\(name).data.\(index)") }
        return problems
    }

    /// What the trainer of encoders has no use for.
    fileprivate var keyOfLanguageModels: String? {
        let keys = [
            ("lora", lora != nil), ("layer_decay", !layerDecay.isEmpty), ("pictures", pictures != nil),
            ("learning_rate", rateRule != nil), ("loss", loss != .init()), ("drop_path", dropPath != .init()),
            ("ema", average != nil), ("memory", memory != .init()), ("skip_spikes", skipSpikes != nil),
            ("regions", regions != nil), ("multiples", !multiples.isEmpty),
        ]
        return keys.first(where: \.1)?.0
    }
}

extension Recipe.Source {
    fileprivate func unsupported(_ key: String) -> [String] {
        var problems: [String] = []
        if case .role(let role) = kind {
            problems.append("\(key).role: nothing says where '\(role)' lies; name it in a file for --catalogue")
        }
        if lowestPerplexity != nil {
            problems.append("\(key).lowest_perplexity: filter the data beforehand, and leave this out")
        }
        return problems
    }
}
