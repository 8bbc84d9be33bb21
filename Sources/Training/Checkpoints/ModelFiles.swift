internal import Foundation
internal import Models
internal import Safetensors

/// The files of a model's folder beside its weights: what a checkpoint needs so that any reader of Hugging Face's layout
/// can open it.
struct ModelFiles {
    let folder: URL

    /// Everything small that a released folder may hold; no weights, no training state.
    static let names = [
        "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
        "video_preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
        "added_tokens.json", "special_tokens_map.json", "chat_template.json", "chat_template.jinja", "tokenizer.model",
    ]

    /// Copies them into `target`, whole or not at all for each file.
    func copy(to target: URL) throws {
        try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
        for name in Self.names {
            let source = folder.appendingPathComponent(name)
            guard FileManager.default.fileExists(atPath: source.path) else { continue }
            try atomicWrite(target.appendingPathComponent(name).path, Data(contentsOf: source))
        }
    }

    /// Copies the named files into `target`; all of them must be there.
    func copy(_ names: [String], to target: URL) throws {
        for name in names {
            let source = folder.appendingPathComponent(name)
            guard let data = try? Data(contentsOf: source) else {
                throw ConfigurationError(file: source.path, reason: "cannot be read")
            }
            try atomicWrite(target.appendingPathComponent(name).path, data)
        }
    }

    /// Merges an object into that of a JSON file, field by field.
    func merge(_ values: JSONValue, into name: String) throws {
        let file = folder.appendingPathComponent(name)
        guard let data = try? Data(contentsOf: file), let old = try? JSONDecoder().decode(JSONValue.self, from: data)
        else { throw ConfigurationError(file: file.path, reason: "is missing or no JSON object") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try atomicWrite(file.path, encoder.encode(old.replaced(by: values)))
    }

    /// Replaces fields of a JSON file; fields of a nested object are named with a dot. A field that is nowhere in the
    /// file is added at the top.
    func set(_ values: [String: Any], in name: String) throws {
        let file = folder.appendingPathComponent(name)
        guard let data = try? Data(contentsOf: file),
            var object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        else { throw ConfigurationError(file: file.path, reason: "is missing or no JSON object") }
        for (key, value) in values {
            let parts = key.split(separator: ".").map(String.init)
            if parts.count == 2, var inner = object[parts[0]] as? [String: Any] {
                inner[parts[1]] = value
                object[parts[0]] = inner
            } else if parts.count == 1 {
                object[key] = value
            }
        }
        let options: JSONSerialization.WritingOptions = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try atomicWrite(file.path, JSONSerialization.data(withJSONObject: object, options: options))
    }
}
