public import Foundation
import NN
import Safetensors
import Text
import Torch

/// What a checkpoint folder holds, known without reading its weights; or what a preset would hold.
public struct ModelSummary: Sendable, Codable {
    public struct Part: Sendable, Codable {
        public var name: ModelPart
        /// Layers and widths, in words.
        public var description: String?
        public var parameters: Int
        /// As stored; where there are no weights, as they would be in the type that the configuration names.
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
        /// Tokens of a sequence; nil in encoders, which have none.
        public var context: Int?
        /// Pixels of a picture once it is resized.
        public var minPixels: Int?
        public var maxPixels: Int?
        public var maxVideoFrames: Int?
        /// Frames that are taken of each second; nil where their number is fixed, or there are no videos.
        public var videoFramesPerSecond: Double?
        /// For pictures of some usual sizes.
        public var pictureTokens: [PictureTokens]

        enum CodingKeys: String, CodingKey {
            case context
            case minPixels = "min_pixels"
            case maxPixels = "max_pixels"
            case maxVideoFrames = "max_video_frames"
            case videoFramesPerSecond = "video_frames_per_second"
            case pictureTokens = "picture_tokens"
        }
    }

    /// Nil for a preset.
    public var folder: String?
    public var preset: String?
    /// Under which name a preset was released or described.
    public var origin: String?
    public var modelType: String
    public var parts: [Part]
    /// By part, in short names (`vision`, `connector`, `decoder`, …), and `total`.
    public var parameters: [String: Int]
    public var bytes: Int
    /// The stored type; several with commas between them.
    public var dtype: String
    /// Files with weights.
    public var files: Int
    /// Memory that keys and values of one token take; 0 in encoders.
    public var cacheBytesPerToken: Int
    public var tokenizer: TokenizerSummary?
    public var hasChatTemplate: Bool
    public var limits: Limits
    /// What would stop the model from running, in words.
    public var problems: [String]

    enum CodingKeys: String, CodingKey {
        case folder, preset, origin, parts, parameters, bytes, dtype, files, tokenizer, limits, problems
        case modelType = "model_type"
        case cacheBytesPerToken = "cache_bytes_per_token"
        case hasChatTemplate = "chat_template"
    }

    /// Reads configuration, tokenizer and the headers of the weights. Only a configuration that cannot be used is an
    /// error; what else is missing stands in `problems`.
    public init(folder url: URL) throws {
        let reader = try ConfigurationReader(contentsOf: url.appending(path: "config.json"))
        let family = try ModelRegistry.described(reader)
        var problems: [String] = []
        let stored = StoredWeights(url, family, default: StoredWeights.type(reader), &problems)
        try self.init(family, reader, stored, problems)
        folder = url.path
        if let family = family as? any ModelFamily { readTexts(url, family) }
    }

    /// Builds the preset's model without memory.
    public init(_ preset: Preset) throws {
        let reader = try preset.reader()
        try self.init(
            ModelRegistry.described(reader), reader, StoredWeights(main: StoredWeights.type(reader)), [])
        self.preset = preset.name
        origin = preset.origin
    }

    private init(
        _ family: any DescribedModel, _ reader: ConfigurationReader, _ stored: StoredWeights, _ problems: [String]
    ) throws {
        self.problems = problems
        modelType = try reader.string("model_type")
        let store = ParameterStore(.shapes)
        let decoder = try family.makeParameters(store)

        var counts: [ModelPart: (parameters: Int, bytes: Int)] = [:]
        var absent: [String] = []
        var misshapen: [String] = []
        for parameter in store.parameters {
            let entry = stored.entries[parameter.name]
            if entry == nil, stored.files > 0 { absent.append(parameter.name) }
            if let entry, entry.shape != parameter.shape { misshapen.append(parameter.name) }
            let size = entry?.byteCount ?? parameter.count * stored.main.size
            let old = counts[family.part(of: parameter.name)] ?? (0, 0)
            counts[family.part(of: parameter.name)] = (old.parameters + parameter.count, old.bytes + size)
        }
        for (names, what) in [(absent, "not in the files"), (misshapen, "of another shape than the configuration's")] {
            guard let first = names.first else { continue }
            self.problems.append("\(names.count) parameters are \(what), such as \(first)")
        }
        parts = ModelPart.allCases.compactMap { part in
            let description = family.description(of: part)
            guard let count = counts[part] ?? (description == nil ? nil : (0, 0)) else { return nil }
            return Part(name: part, description: description, parameters: count.parameters, bytes: count.bytes)
        }
        parameters = Dictionary(uniqueKeysWithValues: parts.map { ($0.name.key, $0.parameters) })
        parameters["total"] = parts.reduce(0) { $0 + $1.parameters }
        bytes = parts.reduce(0) { $0 + $1.bytes }
        dtype = stored.types
        files = stored.files
        cacheBytesPerToken =
            decoder.map { $0.layers * 2 * $0.keyValueHeads * $0.headSize * stored.main.size } ?? 0
        limits = Limits(context: (family as? any ModelFamily)?.contextLength, pictureTokens: [])
        hasChatTemplate = false
    }

    /// All parameters.
    public var total: Int { parameters["total"] ?? 0 }

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
            limits.videoFramesPerSecond = processor.videoSampling.flatMap {
                $0.segments == nil ? $0.framesPerSecond : nil
            }
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
