import Goldens
import Models
import NN
import Torch
import Training

/// `CLIPModel` and `SiglipModel`: features of both sides, similarities, and the loss.
struct ContrastiveModule: GoldenModule {
    private let encoder: ContrastiveEncoder

    static func matches(_ reader: ConfigurationReader) -> Bool {
        ["clip", "siglip"].contains { reader.value("model_type") == .string($0) }
    }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        let design =
            try reader.value("model_type") == .string("clip")
            ? ContrastiveDesign(clip: reader) : ContrastiveDesign(siglip: reader)
        encoder = try design.makeEncoder(store)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let texts = (golden.json["texts"].array ?? []).map { ($0.ints ?? []).map { Int32(clamping: $0) } }
        let pixels = try golden.input("pixel_values")
        let pictures = try encoder.features(
            of: PatchBatch(pixels, patchSize: encoder.vision.configuration.patchSize))
        let words = try encoder.features(of: texts), scores = try encoder.similarities(pictures, words)
        let loss =
            try encoder.kind == .siglip
            ? EncoderObjectives.sigmoidContrastive(scores) : EncoderObjectives.softmaxContrastive(scores)
        return [
            "\(golden.name).image_embeds": pictures, "\(golden.name).text_embeds": words,
            "\(golden.name).logits_per_image": scores, "\(golden.name).loss": try loss.view([1]),
        ]
    }
}
