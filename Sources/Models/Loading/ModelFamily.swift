public import Foundation
public import NN
public import Text

/// A family of models as its released files describe it: builds the model and the processor.
public protocol ModelFamily: DescribedModel {
    /// Builds the model from the store, whose keys are the released ones, and checks that nothing is missing or left.
    func makeModel(_ store: ParameterStore) throws -> VisionLanguageModel

    /// The name under which the reference library's current version knows a parameter: adapters are written under it.
    func libraryName(_ name: String) -> String

    /// Builds the processor from the other files of the folder.
    ///
    /// - Parameter template: of the folder, which families whose released code has its own do without.
    func makeProcessor(folder: URL, tokenizer: Tokenizer, template: ChatTemplate?, stopTokens: Set<Int32>) throws
        -> any ConversationProcessor

    /// Tokens that a sequence may hold at most.
    var contextLength: Int { get }

    /// Mean and deviation of the pixels that the published tower was trained on; nil where it is not told.
    var publishedNormalization: PixelNormalization? { get }
}

extension ModelFamily {
    public var publishedNormalization: PixelNormalization? { nil }
    public func libraryName(_ name: String) -> String { name }
    public func makeParameters(_ store: ParameterStore) throws -> DecoderConfiguration? {
        try makeModel(store).decoder.configuration
    }
}

/// The families that Omma reads, by the `model_type` of their configuration.
public enum ModelRegistry {
    /// Reads a configuration; throws `ConfigurationError`.
    public typealias Reading = @Sendable (ConfigurationReader) throws -> any ModelFamily

    public static let families: [String: Reading] = [
        "qwen2": { try Qwen2VLConfiguration($0) },
        "qwen2_vl": { try Qwen2VLConfiguration($0) },
        "internvl_chat": { try ModelDesign(internVL: $0) },
        "mm1": { try ModelDesign(mm1: $0) },
        "qwen": { try ModelDesign(qwenVL: $0) },
        "NVLM_D": { try ModelDesign(nvlm: $0, .sequence) },
        "NVLM_X": { try ModelDesign(nvlm: $0, .crossAttention) },
        "NVLM_H": { try ModelDesign(nvlm: $0, .hybrid) },
        "points_chat": { try ModelDesign(points1: $0) },
        "pointsv1.5_chat": { try ModelDesign(points15: $0) },
    ]

    /// Encoders that have no language model behind them, by the same field.
    public static let encoders: [String: @Sendable (ConfigurationReader) throws -> any DescribedModel] = [
        "navit": { try NaViT($0) }, "clip": { try ContrastiveDesign(clip: $0) },
        "siglip": { try ContrastiveDesign(siglip: $0) }, "aim": { try AutoregressiveDesign($0) },
    ]

    /// Reads the configuration of anything that has parameters.
    public static func described(_ reader: ConfigurationReader) throws -> any DescribedModel {
        try encoders[reader.string("model_type")]?(reader) ?? configuration(reader)
    }

    /// A reader of an encoder's configuration, and which of the types it is.
    ///
    /// - Parameter use: what asks for one of these types, in words.
    public static func reader(_ file: URL, ofTypes types: [String], for use: String) throws -> (
        reader: ConfigurationReader, type: String
    ) {
        let reader = try ConfigurationReader(contentsOf: file)
        let found = try reader.string("model_type")
        guard types.contains(found) else {
            let wanted = types.map { "'\($0)'" }.joined(separator: " or ")
            throw reader.failure("model_type", "is '\(found)'; \(use) needs a model of type \(wanted)")
        }
        return (reader, found)
    }

    /// Reads the configuration of a checkpoint folder.
    ///
    /// - Parameter overrides: fields to take instead of the file's.
    public static func configuration(folder: URL, overriding overrides: [String: JSONValue] = [:]) throws
        -> any ModelFamily
    {
        try configuration(
            ConfigurationReader(contentsOf: folder.appending(path: "config.json"), overriding: overrides))
    }

    /// Reads a configuration. An unknown `model_type` is an error that lists the known ones.
    public static func configuration(_ reader: ConfigurationReader) throws -> any ModelFamily {
        let type = try reader.string("model_type")
        guard encoders[type] == nil else {
            throw reader.failure("model_type", "'\(type)' is an encoder: it has no language model that could answer")
        }
        guard let read = families[type] else {
            throw reader.failure(
                "model_type",
                "'\(type)' is not supported; supported are \(families.keys.sorted().joined(separator: ", "))")
        }
        return try read(reader)
    }
}
