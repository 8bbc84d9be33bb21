extension Qwen2VLConfiguration {
    public func part(of parameterName: String) -> ModelPart {
        let prefixes: [(String, ModelPart)] = [
            ("visual.merger.", .connector), ("visual.", .visionTower), ("model.embed_tokens.", .embedding),
            ("model.", .decoder), ("lm_head.", .head),
        ]
        return prefixes.first { parameterName.hasPrefix($0.0) }?.1 ?? .other
    }

    public func description(of part: ModelPart) -> String? {
        switch part {
        case .visionTower:
            vision.map {
                "\($0.layers) layers of width \($0.hiddenSize), \($0.heads) heads, patches of \($0.patchSize)×\($0.patchSize)"
            }
        case .connector: vision.map { "\($0.mergeSize)×\($0.mergeSize) patches to a token of \(decoder.hiddenSize)" }
        case .embedding: "\(decoder.vocabularySize) tokens of width \(decoder.hiddenSize)"
        case .decoder:
            "\(decoder.layers) layers of width \(decoder.hiddenSize), \(decoder.heads) heads, "
                + "\(decoder.keyValueHeads) for keys and values"
        case .head: decoder.hasTiedHead ? "the embedding" : "\(decoder.vocabularySize) scores"
        case .other: nil
        }
    }
}
