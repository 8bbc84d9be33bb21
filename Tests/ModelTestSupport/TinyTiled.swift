internal import Foundation
public import Models
internal import NN
internal import TestSupport
internal import Text
public import Torch

/// Small models of the families that see tiles, with random weights that are large enough for a fault to show.
public struct TinyTiled {
    public let family: any ModelFamily
    public let model: VisionLanguageModel
    public let processor: any ConversationProcessor

    /// - Parameters:
    ///   - type: the `model_type`.
    ///   - changes: fields of `config.json` by their paths, such as `llm_config.rope_scaling`; nil removes one.
    ///   - gate: what the gates of cross-attention hold.
    public init(_ type: String, _ changes: [String: JSONValue?] = [:], gate: Double = 0.7) throws {
        family = try ModelRegistry.configuration(
            ConfigurationReader(file: "config.json", fields: Self.fields(type, changes)))
        let folder = try Self.tokenizerFolder()
        processor = try family.makeProcessor(
            folder: folder.url, tokenizer: Tokenizer.load(directory: folder.path), template: nil, stopTokens: [])
        model = try family.makeModel(ParameterStore(.random(seed: 5), writable: true))
        for parameter in model.store.parameters {
            let isGate = parameter.name.hasSuffix(".gate")
            if isGate { try parameter.tensor.fill(gate) }
            if parameter.shape.count > 1 { try parameter.tensor.multiplyInPlace(8) }
        }
    }

    /// A configuration of two layers everywhere, tiles of 16 pixels and patches of 4.
    public static func fields(_ type: String, _ changes: [String: JSONValue?] = [:]) -> [String: JSONValue] {
        func text(_ value: String) -> JSONValue { .string(value) }
        var language: [String: JSONValue] = [
            "architectures": .array([text("Qwen2ForCausalLM")]), "vocab_size": .number(417),
            "hidden_size": .number(32), "intermediate_size": .number(48), "num_hidden_layers": .number(2),
            "num_attention_heads": .number(4), "num_key_value_heads": .number(2),
            "max_position_embeddings": .number(512),
        ]
        var vision: [String: JSONValue] = [
            "hidden_size": .number(16), "intermediate_size": .number(24), "num_hidden_layers": .number(2),
            "num_attention_heads": .number(2), "patch_size": .number(4), "image_size": .number(16),
        ]
        var fields: [String: JSONValue] = ["model_type": text(type)]
        if type != "points_chat" {
            for (name, value) in [
                ("ps_version", text("v2")), ("max_dynamic_patch", .number(6)), ("use_thumbnail", .bool(true)),
                ("dynamic_image_size", .bool(true)), ("force_image_size", .number(16)),
                ("template", text(type == "internvl_chat" ? "Hermes-2" : "chatml")),
            ] {
                fields[name] = value
            }
        }
        if ["NVLM_X", "NVLM_H"].contains(type) { fields["cross_attention_every"] = .number(2) }
        for (path, value) in changes {
            let parts = path.split(separator: ".").map(String.init)
            switch parts.first {
            case "llm_config" where parts.count == 2: language[parts[1]] = value
            case "vision_config" where parts.count == 2: vision[parts[1]] = value
            default: fields[path] = value
            }
        }
        if changes["llm_config"] == nil { fields["llm_config"] = .object(language) }
        if changes["vision_config"] == nil { fields["vision_config"] = .object(vision) }
        return fields
    }

    /// The goldens' tokenizer with InternVL's tokens behind its own.
    private static func tokenizerFolder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder(), golden = TinyQwen2VL.url
        let added = ["<img>", "</img>", "<IMG_CONTEXT>"].enumerated().map { index, token -> [String: Any] in
            [
                "id": 414 + index, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            ]
        }
        var json =
            try JSONSerialization.jsonObject(with: Data(contentsOf: golden.appending(path: "tokenizer.json")))
            as? [String: Any] ?? [:]
        json["added_tokens"] = (json["added_tokens"] as? [[String: Any]] ?? []) + added
        try folder.write("tokenizer.json", JSONSerialization.data(withJSONObject: json))
        return folder
    }

    /// A prompt of this text behind noise pictures of these sizes.
    public func prompt(_ text: String, pictures: [(width: Int, height: Int)] = [], seed: UInt64 = 1) throws
        -> ProcessedSequence
    {
        let parts = pictures.enumerated().map { index, size in
            Part.image(.noise(width: size.width, height: size.height, seed: seed &+ UInt64(index)))
        }
        return try processor.process([Message(.user, parts + [.text(text)])], ProcessingOptions())
    }

    /// Hidden states of each sequence of a packed batch.
    public func hiddenStates(_ sequences: [ProcessedSequence]) throws -> [Tensor] {
        let input = try ModelInput(sequences)
        let hidden = try withoutGradient { try model.hiddenStates(input) }
        return try sequences.indices.map { try hidden.slice(0, input.segments.range($0)) }
    }
}
