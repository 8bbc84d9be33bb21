public import NN
public import Torch

/// Qwen2-VL's vision part: tower and merger.
public final class Qwen2VLVision: VisionEncoder {
    public let tower: Qwen2VisionTower
    public let merger: PatchMerger

    init(_ configuration: Qwen2VisionTower.Configuration, outputSize: Int, _ scope: ParameterScope) throws {
        tower = try Qwen2VisionTower(configuration, scope)
        merger = try PatchMerger(
            hiddenSize: configuration.hiddenSize, mergeSize: configuration.mergeSize, outputSize: outputSize,
            scope["merger"])
    }

    public func features(_ items: [VisualItem], _ context: ForwardContext) throws -> Tensor {
        try merger(tower(items, context))
    }
}

extension VisionLanguageModel {
    /// Qwen2-VL, or Qwen2 where the configuration has no vision part, with the released key names.
    public convenience init(_ configuration: Qwen2VLConfiguration, _ store: ParameterStore) throws {
        let vision = try configuration.vision.map {
            try Qwen2VLVision($0, outputSize: configuration.decoder.hiddenSize, store.root["visual"])
        }
        let decoder = try LanguageDecoder(configuration.decoder, store.root)
        // A tied checkpoint may repeat the embedding as a head.
        try store.finish { configuration.decoder.hasTiedHead && $0 == "lm_head.weight" }
        self.init(vision: vision, decoder: decoder, store: store)
    }
}
