public import Foundation
import NN
import Safetensors
import Text
import Torch

/// What a checkpoint folder holds, known without reading its weights.
public struct ModelSummary: Sendable, Codable {
    public struct Part: Sendable, Codable {
        public var name: ModelPart
        /// Layers and widths, in words.
        public var description: String?
        public var parameters: Int
        /// As stored; as they would be in `dtype` where there are no weights.
        public var bytes: Int
    }

    public struct TokenizerSummary: Sendable, Codable {
        public var kind: String
        public var size: Int
        public var specialTokens: [String]
        public var stopTokens: [String]

        enum CodingKeys: String, CodingKey {
            case kind, size
            case specialTokens = "special_tokens"
            case stopTokens = "stop_tokens"
        }
    }

    public struct PictureTokens: Sendable, Codable {
        public var width: Int
        public var height: Int
        public var tokens: Int
    }

    public struct Limits: Sendable, Codable {
        /// Tokens of a sequence.
        public var context: Int
        /// Pixels of a picture once it is resized.
        public var minPixels: Int?
        public var maxPixels: Int?
        public var maxVideoFrames: Int?
        /// For pictures of some usual sizes.
        public var pictureTokens: [PictureTokens]

        enum CodingKeys: String, CodingKey {
            case context
            case minPixels = "min_pixels"
            case maxPixels = "max_pixels"
            case maxVideoFrames = "max_video_frames"
            case pictureTokens = "picture_tokens"
        }
    }

    public var folder: String
    public var modelType: String
    public var parts: [Part]
    public var parameters: Int
    public var bytes: Int
    /// The stored type; several with commas between them.
    public var dtype: String
    /// Files with weights.
    public var files: Int
    /// Memory that keys and values of one token take.
    public var cacheBytesPerToken: Int
    public var tokenizer: TokenizerSummary?
    public var hasChatTemplate: Bool
    public var limits: Limits
    /// What would stop the model from running, in words.
    public var problems: [String]

    enum CodingKeys: String, CodingKey {
        case folder, parts, parameters, bytes, dtype, files, tokenizer, limits, problems
        case modelType = "model_type"
        case cacheBytesPerToken = "cache_bytes_per_token"
        case hasChatTemplate = "chat_template"
    }

    /// Reads configuration, tokenizer and the headers of the weights. Only a configuration that cannot be used is an
    /// error; what else is missing stands in `problems`.
    public init(folder url: URL) throws {
        folder = url.path
        problems = []
        let family = try ModelRegistry.configuration(folder: url)
        modelType = try ConfigurationReader(contentsOf: url.appending(path: "config.json")).string("model_type")
        let model = try family.makeModel(ParameterStore(.shapes))
        let stored = Stored(url, family, &problems)

        var counts: [ModelPart: (parameters: Int, bytes: Int)] = [:]
        var absent: [String] = []
        var misshapen: [String] = []
        for parameter in model.store.parameters {
            let entry = stored.entries[parameter.name]
            if entry == nil, stored.files > 0 { absent.append(parameter.name) }
            if let entry, entry.shape != parameter.shape { misshapen.append(parameter.name) }
            let size = entry?.byteCount ?? parameter.count * stored.main.size
            let old = counts[family.part(of: parameter.name)] ?? (0, 0)
            counts[family.part(of: parameter.name)] = (old.parameters + parameter.count, old.bytes + size)
        }
        for (names, what) in [(absent, "not in the files"), (misshapen, "of another shape than the configuration's")] {
            guard let first = names.first else { continue }
            problems.append("\(names.count) parameters are \(what), such as \(first)")
        }
        parts = ModelPart.allCases.compactMap { part in
            let description = family.description(of: part)
            guard let count = counts[part] ?? (description == nil ? nil : (0, 0)) else { return nil }
            return Part(name: part, description: description, parameters: count.parameters, bytes: count.bytes)
        }
        parameters = parts.reduce(0) { $0 + $1.parameters }
        bytes = parts.reduce(0) { $0 + $1.bytes }
        dtype = stored.types
        files = stored.files
        let decoder = model.decoder.configuration
        cacheBytesPerToken = decoder.layers * 2 * decoder.keyValueHeads * decoder.headSize * stored.main.size
        limits = Limits(context: family.contextLength, pictureTokens: [])
        hasChatTemplate = false
        readTexts(url, family)
    }

    /// Sizes of pictures that people know: a thumbnail, a square crop, a camera's small setting, full HD.
    private static let pictureSizes = [(224, 224), (448, 448), (1024, 768), (1920, 1080)]

    private mutating func readTexts(_ url: URL, _ family: any ModelFamily) {
        do {
            let template = try ChatTemplate.load(directory: url)
            hasChatTemplate = template != nil
            if template == nil { problems.append("there is no chat template") }
            let tokenizer = try Tokenizer.load(directory: url.path)
            var stop = Set(try GenerationDefaults(folder: url).stopTokens)
            if let end = tokenizer.specialTokens.eos { stop.insert(end) }
            self.tokenizer = TokenizerSummary(
                kind: tokenizer.kind.rawValue, size: tokenizer.vocabularySize,
                specialTokens: tokenizer.specialTokens.all.map(\.text),
                stopTokens: stop.sorted().map { tokenizer.token(for: $0) ?? "\($0)" })
            let processor = try family.makeProcessor(
                folder: url, tokenizer: tokenizer, template: try template ?? ChatTemplate(""), stopTokens: stop)
            limits.minPixels = processor.pixelLimits?.lowerBound
            limits.maxPixels = processor.pixelLimits?.upperBound
            limits.maxVideoFrames = processor.videoSampling?.maxFrames
            for (width, height) in Self.pictureSizes {
                // A text model has no answer, and needs none.
                guard let tokens = try? processor.imageTokenCount(width: width, height: height) else { continue }
                limits.pictureTokens.append(PictureTokens(width: width, height: height, tokens: tokens))
            }
        } catch {
            problems.append("\(error)")
        }
    }
}

/// What the headers of the weights say, under the names that the model uses.
private struct Stored {
    var entries: [String: TensorEntry] = [:]
    var files = 0
    /// The first float type, in which the model would run.
    var main = DType.float32
    /// All types.
    var types = "none"

    init(_ url: URL, _ family: any ModelFamily, _ problems: inout [String]) {
        do {
            let checkpoint = try SafetensorsCheckpoint(directory: url.path)
            files = checkpoint.files.count
            var found: [String] = []
            for name in checkpoint.names {
                guard let entry = checkpoint.tensors[name]?.entry else { continue }
                entries[family.canonicalName(name)] = entry
                let type = DType(entry.dtype)
                if found.isEmpty, let type, type.isFloatingPoint { main = type }
                let text = type?.description ?? entry.dtype.rawValue
                if !found.contains(text) { found.append(text) }
            }
            types = found.joined(separator: ", ")
        } catch {
            problems.append("\(error)")
        }
    }
}
