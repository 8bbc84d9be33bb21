public import Foundation
public import NN
public import Text

/// A family of models as its released files describe it: reads the configuration, builds the model and the processor.
public protocol ModelFamily: Sendable {
    /// Reads `config.json`. Throws `ConfigurationError`.
    init(_ reader: ConfigurationReader) throws

    /// Builds the model from the store, whose keys are the released ones, and checks that nothing is missing or left.
    func makeModel(_ store: ParameterStore) throws -> VisionLanguageModel

    /// The name under which the model knows a key of a checkpoint: newer libraries write other prefixes.
    func canonicalName(_ key: String) -> String

    /// Builds the processor from the other files of the folder.
    func makeProcessor(folder: URL, tokenizer: Tokenizer, template: ChatTemplate, stopTokens: Set<Int32>) throws
        -> any ConversationProcessor

    /// Tokens that a sequence may hold at most.
    var contextLength: Int { get }

    /// The part of the model that a parameter belongs to.
    func part(of parameterName: String) -> ModelPart

    /// Layers and widths of a part in a few words; nil for parts that the model does not have.
    func description(of part: ModelPart) -> String?
}

extension ModelFamily {
    public func part(of parameterName: String) -> ModelPart { .other }
    public func description(of part: ModelPart) -> String? { nil }
}

/// The families that Omma reads, by the `model_type` of their configuration.
public enum ModelRegistry {
    public static let families: [String: any ModelFamily.Type] = [
        "qwen2": Qwen2VLConfiguration.self,
        "qwen2_vl": Qwen2VLConfiguration.self,
    ]

    /// Reads the configuration of a checkpoint folder. An unknown `model_type` is an error that lists the known ones.
    public static func configuration(folder: URL) throws -> any ModelFamily {
        let reader = try ConfigurationReader(contentsOf: folder.appending(path: "config.json"))
        let type = try reader.string("model_type")
        guard let family = families[type] else {
            throw reader.failure(
                "model_type",
                "'\(type)' is not supported; supported are \(families.keys.sorted().joined(separator: ", "))")
        }
        return try family.init(reader)
    }
}
