import Goldens
import Models
import NN
import Torch

/// `CLIPVisionModel`.
struct CLIPVisionModule: GoldenModule {
    private let tower: VisionTransformer

    static func matches(_ reader: ConfigurationReader) -> Bool {
        reader.value("model_type") == .string("clip_vision_model")
    }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        tower = try VisionTransformer(.init(clip: reader), store.root["vision_model"])
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let states = try HiddenStates(tower, golden)
        return states.named(
            golden.name, last: try states.last.stacked(), pooled: try tower.normalized(states.last))
    }
}

/// `SiglipVisionModel` with its pooling head.
struct SiglipVisionModule: GoldenModule {
    private let tower: VisionTransformer
    private let head: AttentionPoolHead

    static func matches(_ reader: ConfigurationReader) -> Bool {
        reader.value("model_type") == .string("siglip_vision_model")
    }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        let configuration = try VisionTransformerConfiguration(siglip: reader), scope = store.root["vision_model"]
        tower = try VisionTransformer(configuration, scope)
        head = try AttentionPoolHead(
            hiddenSize: configuration.hiddenSize, heads: configuration.heads,
            feedForwardSize: configuration.feedForwardSize, activation: configuration.activation,
            normEpsilon: configuration.normEpsilon, scope["head"])
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let states = try HiddenStates(tower, golden)
        let normed = try tower.normalized(states.last)
        var last = states.last
        last.features = normed
        return states.named(golden.name, last: try last.stacked(), pooled: try head(normed, last.segments))
    }
}

/// What a tower gives between its layers.
private struct HiddenStates {
    let last: VisionTokens
    private let embeddings: Tensor
    private let secondLast: Tensor

    init(_ tower: VisionTransformer, _ golden: GoldenCase) throws {
        let pixels = try golden.input(), layers = tower.configuration.layers
        var seen: [String: Tensor] = [:]
        last = try tower(
            PatchBatch(pixels, patchSize: tower.configuration.patchSize),
            ForwardContext(observer: { seen[$0] = $1 }))
        func stacked(_ name: String) throws -> Tensor {
            guard let tensor = seen[name] else { throw GoldenError(file: golden.name, tensor: name, fault: "not seen") }
            return try tensor.reshape([pixels.size(0), -1, tensor.size(1)])
        }
        embeddings = try stacked("vision.embeddings")
        secondLast = try layers > 1 ? stacked("vision.layer\(layers - 2)") : embeddings
    }

    func named(_ name: String, last: Tensor, pooled: Tensor) -> [String: Tensor] {
        [
            "\(name).hidden0": embeddings, "\(name).hidden_minus2": secondLast, "\(name).last_hidden_state": last,
            "\(name).pooled": pooled,
        ]
    }
}

/// NaViT with its classifier, on pictures packed together and one by one.
struct NaViTModule: GoldenModule {
    private let classifier: NaViTClassifier

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.has("num_classes") && reader.has("dim_head") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        classifier = try NaViTClassifier(
            .init(navit: reader), classes: reader.integer("num_classes", in: 1...(1 << 24)), store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let rows = (golden.json["rows"].array ?? []).flatMap { $0.strings ?? [] }
        let pictures = try rows.map(golden.input), patch = classifier.tower.configuration.patchSize
        let single = try withoutGradient {
            try Tensor.cat(pictures.map { try classifier(PatchBatch(pictures: [$0], patchSize: patch)) })
        }
        return [
            "\(golden.name).out": try classifier(PatchBatch(pictures: pictures, patchSize: patch)), "single": single,
        ]
    }
}
