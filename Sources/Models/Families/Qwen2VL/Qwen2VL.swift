public import NN

extension Qwen2VLConfiguration {
    /// What merges patches for the decoder; nil for a text model.
    var merger: PatchMerger.Configuration? {
        vision.map {
            PatchMerger.Configuration(
                inputSize: $0.hiddenSize, mergeSize: $0.mergeSize, outputSize: decoder.hiddenSize)
        }
    }
}

extension VisionLanguageModel {
    /// Qwen2-VL, or Qwen2 where the configuration has no vision part, with the released key names.
    public convenience init(_ configuration: Qwen2VLConfiguration, _ store: ParameterStore) throws {
        var vision: AssembledVision?
        if let tower = configuration.vision, let merger = configuration.merger {
            vision = try VisionDesign(
                towers: [VisionDesign.Tower("visual", tower)], connectorPrefix: "visual.merger", connector: merger
            ).makeEncoder(store.root)
        }
        let decoder = try LanguageDecoder(configuration.decoder, store.root)
        // A tied checkpoint may repeat the embedding as a head.
        try store.finish { configuration.decoder.hasTiedHead && $0 == "lm_head.weight" }
        self.init(vision: vision, decoder: decoder, store: store, part: configuration.part(of:))
    }
}
