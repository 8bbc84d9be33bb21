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
        case .visionTower: vision?.summary
        case .connector: merger?.summary
        case .textTower, .embedding, .decoder, .head, .crossAttention, .other: decoder.description(of: part)
        }
    }
}
