public import Foundation
public import NN
public import Text

extension Qwen2VLConfiguration: ModelFamily {
    public var contextLength: Int { decoder.maxPositions }

    public var towerShapes: [TransformerShape] { vision.map { [$0.shape] } ?? [] }

    public var patchesPerFeature: Double { vision.map { Double($0.mergeSize * $0.mergeSize) } ?? 1 }

    public var publishedNormalization: PixelNormalization? { vision == nil ? nil : .clip }

    public func makeModel(_ store: ParameterStore) throws -> VisionLanguageModel {
        try VisionLanguageModel(self, store)
    }

    /// Since transformers 4.52 files may hold `model.visual.*` and `model.language_model.*`.
    public func canonicalName(_ key: String) -> String {
        if key.hasPrefix("model.visual.") { return String(key.dropFirst("model.".count)) }
        if key.hasPrefix("model.language_model.") { return "model." + key.dropFirst("model.language_model.".count) }
        return key
    }

    public func libraryName(_ name: String) -> String {
        guard vision != nil else { return name }
        if name.hasPrefix("visual.") { return "model." + name }
        if name.hasPrefix("model.") { return "model.language_model." + name.dropFirst("model.".count) }
        return name
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
            configuration: self, tokenizer: tokenizer, template: template,
            imagePolicy: try vision.map { try NativeResolution(folder: folder, tower: $0) },
            stopTokens: stopTokens)
    }
}
