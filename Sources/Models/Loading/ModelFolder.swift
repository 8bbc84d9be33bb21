public import Foundation
internal import NN
internal import Safetensors
public import Text
public import Torch

/// A checkpoint folder in Hugging Face layout: configuration, weights, tokenizer, template, and what generation does by
/// default.
public struct ModelFolder: Sendable {
    public let url: URL
    public let family: any ModelFamily
    public let tokenizer: Tokenizer
    public let processor: any ConversationProcessor
    public let generation: GenerationDefaults

    /// Reads everything but the weights.
    ///
    /// - Parameter overrides: fields of `config.json` to take instead of the file's.
    public init(_ url: URL, overriding overrides: [String: JSONValue] = [:]) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue else {
            throw ConfigurationError(file: url.path, reason: "is not a folder; give the folder of a checkpoint")
        }
        self.url = url
        family = try ModelRegistry.configuration(folder: url, overriding: overrides)
        tokenizer = try Tokenizer.load(directory: url.path)
        generation = try GenerationDefaults(folder: url)
        var stop = Set(generation.stopTokens)
        if let end = tokenizer.specialTokens.eos { stop.insert(end) }
        let template = try ChatTemplate.load(directory: url)
        processor = try family.makeProcessor(folder: url, tokenizer: tokenizer, template: template, stopTokens: stop)
    }

    /// Builds the model over the mapped weights, which are used in place where their type is `dtype`.
    ///
    /// - Parameters:
    ///   - dtype: nil keeps the type that the file holds (that of its first float tensor).
    ///   - writable: training needs copies.
    public func loadModel(dtype: DType? = nil, device: Device = .cpu, writable: Bool = false) throws
        -> VisionLanguageModel
    {
        let checkpoint = try SafetensorsCheckpoint(directory: url.path)
        let stored = checkpoint.names.lazy.compactMap { checkpoint.tensors[$0].flatMap { DType($0.entry.dtype) } }
        let weights = RenamedWeights(checkpoint, family.canonicalName)
        return try family.makeModel(
            ParameterStore(
                .checkpoint(weights, .fail), dtype: dtype ?? stored.first(where: \.isFloatingPoint) ?? .float32,
                device: device, writable: writable))
    }
}

/// `generation_config.json`: what the publisher of a checkpoint recommends.
public struct GenerationDefaults: Sendable, Hashable {
    public var stopTokens: [Int32] = []
    public var samples = false
    public var temperature = 1.0
    public var topK: Int?
    public var topP = 1.0
    public var repetitionPenalty = 1.0

    public init() {}

    /// Defaults where the folder has no such file.
    public init(folder: URL) throws {
        let file = folder.appending(path: "generation_config.json")
        guard FileManager.default.fileExists(atPath: file.path) else {
            self = try GenerationDefaults(stopTokensOf: folder.appending(path: "config.json"))
            return
        }
        let reader = try ConfigurationReader(contentsOf: file)
        stopTokens = try Self.stopTokens(reader)
        samples = try reader.flag("do_sample", default: false)
        temperature = try reader.number("temperature", default: 1)
        topK = reader.has("top_k") ? try reader.integer("top_k", in: 0...(1 << 30)) : nil
        topP = try reader.number("top_p", default: 1)
        repetitionPenalty = try reader.number("repetition_penalty", default: 1)
    }

    private init(stopTokensOf file: URL) throws {
        stopTokens = try Self.stopTokens(ConfigurationReader(contentsOf: file))
    }

    private static func stopTokens(_ reader: ConfigurationReader) throws -> [Int32] {
        switch reader.value("eos_token_id") {
        case nil: []
        case .array?: try reader.integers("eos_token_id")?.map(Int32.init(clamping:)) ?? []
        default: [Int32(clamping: try reader.integer("eos_token_id", in: 0...Int(Int32.max)))]
        }
    }
}
