public import Foundation
public import NN
public import Text

extension Qwen2VLConfiguration: ModelFamily {
    public var contextLength: Int { decoder.maxPositions }

    public func makeModel(_ store: ParameterStore) throws -> VisionLanguageModel {
        try VisionLanguageModel(self, store)
    }

    /// Since transformers 4.52 files may hold `model.visual.*` and `model.language_model.*`.
    public func canonicalName(_ key: String) -> String {
        if key.hasPrefix("model.visual.") { return String(key.dropFirst("model.".count)) }
        if key.hasPrefix("model.language_model.") { return "model." + key.dropFirst("model.language_model.".count) }
        return key
    }

    public func makeProcessor(
        folder: URL, tokenizer: Tokenizer, template: ChatTemplate?, stopTokens: Set<Int32>
    ) throws -> any ConversationProcessor {
        guard let template else {
            throw ConfigurationError(
                file: folder.appending(path: "tokenizer_config.json").path, field: "chat_template",
                reason: "is missing; this is no chat model, or chat_template.jinja was not copied")
        }
        return Qwen2VLProcessor(
            configuration: self, tokenizer: tokenizer, template: template, imagePolicy: try imagePolicy(folder: folder),
            stopTokens: stopTokens)
    }

    /// `preprocessor_config.json`; the published defaults where there is none.
    func imagePolicy(folder: URL) throws -> NativeResolution? {
        guard let vision else { return nil }
        let file = folder.appending(path: "preprocessor_config.json")
        guard FileManager.default.fileExists(atPath: file.path) else {
            return NativeResolution(
                patchSize: vision.patchSize, temporalPatchSize: vision.temporalPatchSize, mergeSize: vision.mergeSize)
        }
        let reader = try ConfigurationReader(contentsOf: file)
        for (field, expected) in [
            ("patch_size", vision.patchSize), ("merge_size", vision.mergeSize),
            ("temporal_patch_size", vision.temporalPatchSize),
        ] {
            let found = try reader.integer(field, default: expected)
            guard found == expected else {
                throw reader.failure(field, "is \(found), but config.json says \(expected)")
            }
        }
        for flag in ["do_resize", "do_rescale", "do_normalize", "do_convert_rgb"] {
            try reader.require(flag, .bool(true))
        }
        // Pillow's numbers: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic.
        try reader.require("resample", .number(3))
        let size = try reader.object("size")
        let minPixels = try reader.integer(
            "min_pixels",
            default: size?.integer(size?.has("shortest_edge") == true ? "shortest_edge" : "min_pixels", default: 3136)
                ?? 3136)
        let maxPixels = try reader.integer(
            "max_pixels",
            default: size?.integer(
                size?.has("longest_edge") == true ? "longest_edge" : "max_pixels", default: 12_845_056) ?? 12_845_056)
        guard minPixels <= maxPixels else {
            throw reader.failure("min_pixels", "is \(minPixels), more than max_pixels \(maxPixels)")
        }
        let policy = NativeResolution(
            patchSize: vision.patchSize, temporalPatchSize: vision.temporalPatchSize, mergeSize: vision.mergeSize,
            minPixels: minPixels, maxPixels: maxPixels,
            normalization: try PixelNormalization(reader, default: .clip))
        try reader.finish(harmless: ["image_processor_type", "processor_class", "size", "min_pixels", "max_pixels"])
        return policy
    }
}
