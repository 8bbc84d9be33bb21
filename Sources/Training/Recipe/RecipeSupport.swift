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
        for stage in stages {
            problems += stage.unsupported()
            // The trainer of encoders has no use for these.
            if objective != nil, !stage.layerDecay.isEmpty || stage.pictures != nil || stage.rateRule != nil {
                problems.append(
                    "stages.\(stage.name): layer_decay, pictures and a rule for learning_rate are of language models")
            }
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

extension Recipe.Stage {
    fileprivate func unsupported() -> [String] {
        var problems: [String] = []
        func refuse(_ key: String, _ reason: String) { problems.append("stages.\(name).\(key): \(reason)") }
        if optimizer != .adamw { refuse("optimizer", "\(optimizer.rawValue) is not implemented; use adamw") }
        if pictures?.side != nil { refuse("pictures.side", "the size of a model's pictures cannot change by stage") }
        if dropPath > 0 { refuse("drop_path", "is not implemented; set it to 0") }
        if loss.weighting != .token { refuse("loss.weighting", "\(loss.weighting.rawValue) is not implemented") }
        if loss.z > 0 { refuse("loss.z", "is not implemented; set it to 0") }
        for (index, source) in data.enumerated() { problems += source.unsupported("stages.\(name).data.\(index)") }
        return problems
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
