public import Foundation
public import NN
public import Text

/// A point of the design space: one choice per axis, and the names under which released checkpoints hold it. Families
/// differ in how they read their configuration into one.
public struct ModelDesign: ModelFamily {
    public var decoder: DecoderConfiguration
    /// What stands before the decoder's parameters, without the last dot.
    public var decoderPrefix: String
    public var vision: VisionDesign?
    public var imagePolicy: (any ImagePolicy)?
    /// How pictures stand in the prompt; with the policy, or neither.
    public var placement: PicturePlacement?
    public var prompt: PromptFormat
    /// Reads what the folder says beside `config.json` about pictures.
    public var readPreprocessor: @Sendable (any ImagePolicy, URL) throws -> any ImagePolicy = { policy, _ in policy }
    /// Keys that released checkpoints hold and nothing uses.
    public var unusedKeys: @Sendable (String) -> Bool = { _ in false }
    /// A connector that nothing uses but that checkpoints of this family hold and must go on holding.
    public var idleConnector: (prefix: String, configuration: any ConnectorConfiguration)?
    /// Tokens whose ids the configuration tells, and which the tokenizer must have under the same.
    public var requiredTokens: [RequiredToken] = []
    /// Newer names of keys.
    public var renaming: @Sendable (String) -> String = { $0 }

    public init(decoder: DecoderConfiguration, decoderPrefix: String, prompt: PromptFormat) {
        self.decoder = decoder
        self.decoderPrefix = decoderPrefix
        self.prompt = prompt
    }

    public var contextLength: Int { decoder.contextLength }

    public var towerShapes: [TransformerShape] { vision?.towers.map(\.configuration.shape) ?? [] }

    public var patchesPerTile: Int? {
        (imagePolicy as? any TilePolicy).map { ($0.tile.size / $0.tile.patchSize) * ($0.tile.size / $0.tile.patchSize) }
    }

    public var patchesPerFeature: Double {
        if let policy = imagePolicy as? any TilePolicy, let patches = patchesPerTile {
            return Double(patches) / Double(policy.tile.features)
        }
        return imagePolicy?.patchesPerFeature.map { Double($0 * $0) } ?? 1
    }

    public var fusion: FusionScheme { placement?.fusion ?? .sequence }

    public var publishedNormalization: PixelNormalization? { imagePolicy?.normalization }

    public func canonicalName(_ key: String) -> String { renaming(key) }

    public func makeModel(_ store: ParameterStore) throws -> VisionLanguageModel {
        let encoder = try vision?.makeEncoder(store.root)
        let language = try LanguageDecoder(decoder, store.root.nested(decoderPrefix))
        if let idleConnector {
            _ = try idleConnector.configuration.makeConnector(store.root.nested(idleConnector.prefix))
        }
        let head = parameterName(decoder.naming.head, "weight")
        // A tied checkpoint may repeat the embedding as a head.
        try store.finish { decoder.hasTiedHead && $0 == head || unusedKeys($0) }
        return VisionLanguageModel(vision: encoder, decoder: language, store: store, part: part(of:))
    }

    public func makeProcessor(
        folder: URL, tokenizer: Tokenizer, template: ChatTemplate?, stopTokens: Set<Int32>
    ) throws -> any ConversationProcessor {
        for token in requiredTokens { try token.check(tokenizer, folder: folder) }
        return try PromptProcessor(
            tokenizer: tokenizer, format: prompt, placement: placement,
            imagePolicy: try imagePolicy.map { try readPreprocessor($0, folder) }, decoder: decoder,
            stopTokens: stopTokens, folder: folder)
    }

    private func parameterName(_ parts: String...) -> String {
        ([decoderPrefix] + parts).filter { !$0.isEmpty }.joined(separator: ".")
    }

    public func part(of parameterName: String) -> ModelPart {
        if let vision {
            if vision.isConnector(parameterName) { return .connector }
            if vision.towers.contains(where: { parameterName.hasPrefix($0.prefix + ".") }) { return .visionTower }
        }
        let naming = decoder.naming
        if parameterName.hasPrefix(self.parameterName(naming.head) + ".") { return .head }
        if parameterName.hasPrefix(self.parameterName(naming.model, naming.embedding) + ".") { return .embedding }
        guard parameterName.hasPrefix(self.parameterName(naming.model) + ".") else { return .other }
        return parameterName.contains(".\(naming.crossAttention).") ? .crossAttention : .decoder
    }

    public func description(of part: ModelPart) -> String? {
        switch part {
        case .visionTower: vision.map { $0.towers.map(\.configuration.summary).joined(separator: "; ") }
        case .connector: vision.map(\.connector.summary)
        case .crossAttention: decoder.crossAttentionEvery.map { "a gated layer every \($0) layers" }
        case .embedding, .decoder, .head: decoder.description(of: part)
        case .textTower, .other: nil
        }
    }
}

extension DecoderConfiguration {
    /// Layers and widths of a decoder's part in a few words.
    func description(of part: ModelPart) -> String? {
        switch part {
        case .embedding: "\(vocabularySize) tokens of width \(hiddenSize)"
        case .decoder: "\(layers) layers of width \(hiddenSize), \(heads) heads, \(keyValueHeads) for keys and values"
        case .head: hasTiedHead ? "the embedding" : "\(vocabularySize) scores"
        case .visionTower, .textTower, .connector, .crossAttention, .other: nil
        }
    }
}

/// A special token whose id stands in a field of `config.json`.
public struct RequiredToken: Sendable, Hashable {
    public var text: String
    public var id: Int
    public var field: String

    public init(text: String, id: Int, field: String) {
        self.text = text
        self.id = id
        self.field = field
    }

    func check(_ tokenizer: Tokenizer, folder: URL) throws {
        guard tokenizer.id(for: text).map(Int.init) != id else { return }
        throw ConfigurationError(
            file: folder.appending(path: "config.json").path, field: field,
            reason: "is \(id), but the tokenizer's \(text) is \(tokenizer.id(for: text).map(String.init) ?? "no token")"
        )
    }
}
