public import Foundation

extension ChatTemplate {
    /// The template of the checkpoint in `directory`.
    ///
    /// Looks where `transformers` looks, in its order: `chat_template.jinja`, then `chat_template.json` of processors,
    /// then `chat_template` in `tokenizer_config.json`. Each may instead hold several named templates
    /// (`additional_chat_templates/<name>.jinja` beside the first).
    ///
    /// - Parameter name: which of several; `default` is what is taken without one.
    /// - Returns: `nil` when the checkpoint has no template at all.
    /// - Throws: `ChatTemplateError` of kind `file` where a file is malformed or does not have the one that `name` asks
    ///   for; of kind `syntax` where the template is.
    public static func load(
        directory: URL, name: String? = nil
    ) throws(ChatTemplateError) -> ChatTemplate? {
        if let name, name != "default" {
            // Names come from outside; they must not lead out of the folder.
            guard !name.contains("/"), !name.hasPrefix("."), !name.contains("\0") else {
                throw ChatTemplateError(.file, "'\(name)' is no name of a template", template: directory.path)
            }
            let url = directory.appending(path: "additional_chat_templates").appending(path: name + ".jinja")
            if let bytes = try read(url) { return try ChatTemplate(text(bytes, url), name: url.path) }
        } else {
            let url = directory.appending(path: "chat_template.jinja")
            if let bytes = try read(url) { return try ChatTemplate(text(bytes, url), name: url.path) }
        }
        for file in ["chat_template.json", "tokenizer_config.json"] {
            let url = directory.appending(path: file)
            guard let bytes = try read(url) else { continue }
            let json = try parse(bytes, url)
            guard let entry = json["chat_template"], entry != .null else { continue }
            let named = try templates(entry, url)
            if let source = named[name ?? "default"] { return try ChatTemplate(source, name: url.path) }
            if name == nil || entry.string == nil {
                let names = named.keys.sorted().joined(separator: ", ")
                throw ChatTemplateError(
                    .file, "there is no chat template named '\(name ?? "default")'; there are: \(names)",
                    template: url.path)
            }
        }
        if let name, name != "default" {
            throw ChatTemplateError(.file, "there is no chat template named '\(name)'", template: directory.path)
        }
        return nil
    }

    /// The special tokens that `tokenizer_config.json` in `directory` names, such as `bos_token` and `eos_token`: the
    /// variables that `transformers` gives to every template. Empty where the file is missing.
    public static func specialTokens(directory: URL) throws(ChatTemplateError) -> TemplateDictionary {
        let url = directory.appending(path: "tokenizer_config.json")
        guard let bytes = try read(url) else { return TemplateDictionary() }
        let json = try parse(bytes, url)
        var result = TemplateDictionary()
        for kind in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] {
            let entry = json[kind + "_token"]
            // Old files hold an object that describes the token.
            if let token = entry?.string ?? entry?["content"]?.string { result[kind + "_token"] = .string(token) }
        }
        return result
    }

    private static func read(_ url: URL) throws(ChatTemplateError) -> Data? {
        guard FileManager.default.fileExists(atPath: url.path) else { return nil }
        do {
            let size = try FileManager.default.attributesOfItem(atPath: url.path)[.size] as? Int ?? 0
            guard size <= 64 << 20 else { throw ChatTemplateError(.file, "more than 64 MB", template: url.path) }
            return try Data(contentsOf: url)
        } catch let error as ChatTemplateError {
            throw error
        } catch {
            throw ChatTemplateError(.file, "cannot be read: \(error.localizedDescription)", template: url.path)
        }
    }

    private static func text(_ bytes: Data, _ url: URL) throws(ChatTemplateError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ChatTemplateError(.file, "the file is not UTF-8", template: url.path)
        }
        return text
    }

    private static func parse(_ bytes: Data, _ url: URL) throws(ChatTemplateError) -> OrderedJSON {
        do { return try OrderedJSON(parsing: bytes) } catch {
            throw ChatTemplateError(.file, error.message, template: url.path, line: error.line)
        }
    }

    /// The templates of an entry `chat_template`: one string, a list of named ones, or an object of them.
    private static func templates(_ entry: OrderedJSON, _ url: URL) throws(ChatTemplateError) -> [String: String] {
        var result: [String: String] = [:]
        switch entry {
        case .string(let source): result["default"] = source
        case .array(let entries):
            for entry in entries {
                guard let name = entry["name"]?.string, let source = entry["template"]?.string else {
                    throw ChatTemplateError(
                        .file, "an entry of 'chat_template' lacks 'name' or 'template'", template: url.path)
                }
                result[name] = source
            }
        case .object(let members):
            for member in members { result[member.key] = member.value.string }
        default:
            throw ChatTemplateError(.file, "'chat_template' is neither text nor a list", template: url.path)
        }
        return result
    }
}
