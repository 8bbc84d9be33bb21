public import Foundation
internal import NN
internal import Safetensors
public import Text
public import Torch

/// A checkpoint folder in Hugging Face layout: configuration, weights, tokenizer, template, and what generation does by
/// default.
///
/// A folder that holds a low-rank adapter instead of weights counts as a model, too: its weights are those of the
/// checkpoint that the adapter belongs to, with the adapter beside them.
public struct ModelFolder: Sendable {
    /// Configuration, tokenizer and what else stands beside weights.
    public let url: URL
    /// Where the weights are; `url` unless an adapter stands there.
    public let weights: URL
    public let adapter: AdapterFolder?
    public let family: any ModelFamily
    public let tokenizer: Tokenizer
    public let processor: any ConversationProcessor
    public let generation: GenerationDefaults

    /// Reads everything but the weights.
    ///
    /// - Parameters:
    ///   - adapter: a folder in PEFT's layout whose adapter joins the weights of `url`.
    ///   - overrides: fields of `config.json` to take instead of the file's.
    public init(_ url: URL, adapter: URL? = nil, overriding overrides: [String: JSONValue] = [:]) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue else {
            throw ConfigurationError(file: url.path, reason: "is not a folder; give the folder of a checkpoint")
        }
        if let adapter {
            self.adapter = try AdapterFolder(adapter)
            weights = url
        } else if AdapterFolder.isAdapter(url), !Self.holdsWeights(url) {
            let own = try AdapterFolder(url)
            self.adapter = own
            weights = try own.baseFolder()
        } else {
            self.adapter = nil
            weights = url
        }
        // An adapter's folder may hold the files of the processor that it was trained with.
        let described = self.adapter.map(\.url).flatMap { folder in
            ["config.json", "tokenizer_config.json"].allSatisfy { Self.exists($0, in: folder) } ? folder : nil
        }
        let url = described ?? weights
        self.url = url
        family = try ModelRegistry.configuration(folder: url, overriding: overrides)
        tokenizer = try Tokenizer.load(directory: url.path)
        generation = try GenerationDefaults(folder: url)
        var stop = Set(generation.stopTokens)
        if let end = tokenizer.specialTokens.eos { stop.insert(end) }
        let template = try ChatTemplate.load(directory: url)
        processor = try family.makeProcessor(folder: url, tokenizer: tokenizer, template: template, stopTokens: stop)
    }

    /// Builds the model over the mapped weights, which are used in place where their type is `dtype`, with the adapter
    /// beside them if there is one.
    ///
    /// - Parameters:
    ///   - dtype: nil keeps the type that the file holds (that of its first float tensor).
    ///   - writable: training needs copies.
    ///   - quantizes: which matrices are held in 4 bits; they are read and rounded one by one.
    ///   - staysOnCPU: what is brought to the device only where it is needed, by whoever computes with it.
    public func loadModel(
        dtype: DType? = nil, device: Device = .cpu, writable: Bool = false,
        quantizing quantizes: @escaping (String) -> Bool = { _ in false },
        keepingOnCPU staysOnCPU: @escaping (String) -> Bool = { _ in false }
    ) throws -> VisionLanguageModel {
        let checkpoint = try SafetensorsCheckpoint(directory: weights.path)
        let stored = checkpoint.names.lazy.compactMap { checkpoint.tensors[$0].flatMap { DType($0.entry.dtype) } }
        let model = try family.makeModel(
            ParameterStore(
                .checkpoint(RenamedWeights(checkpoint, family.canonicalName), .fail),
                dtype: dtype ?? stored.first(where: \.isFloatingPoint) ?? .float32,
                device: device, writable: writable, quantizing: quantizes,
                keepingOnCPU: staysOnCPU))
        try adapter?.attach(to: model, family: family, base: weights)
        return model
    }

    private static func exists(_ file: String, in folder: URL) -> Bool {
        FileManager.default.fileExists(atPath: folder.appending(path: file).path)
    }

    private static func holdsWeights(_ folder: URL) -> Bool {
        ["model.safetensors", "model.safetensors.index.json"].contains { exists($0, in: folder) }
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
