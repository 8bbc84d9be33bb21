import Foundation

/// Reads the files of a tokenizer's folder.
struct TokenizerFiles {
    /// Larger than any published tokenizer file, and small enough to read.
    static let byteLimit = 128 << 20

    let directory: String

    /// The bytes of a file; `nil` if it is not there.
    func read(_ name: String) throws(TokenizerError) -> [UInt8]? {
        let path = (directory as NSString).appendingPathComponent(name)
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            let attributes = try FileManager.default.attributesOfItem(
                atPath: (path as NSString).resolvingSymlinksInPath)
            guard attributes[.type] as? FileAttributeType == .typeRegular else {
                throw TokenizerError.unreadable(file: name, reason: "it is not a file")
            }
            let size = (attributes[.size] as? NSNumber)?.intValue ?? 0
            if size > Self.byteLimit { throw TokenizerError.tooLarge(file: name, bytes: size, limit: Self.byteLimit) }
            return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        } catch let error as TokenizerError {
            throw error
        } catch {
            throw .unreadable(file: name, reason: error.localizedDescription)
        }
    }

    func json(_ name: String) throws(TokenizerError) -> JSONField? {
        guard let bytes = try read(name) else { return nil }
        return JSONField(node: try JSONParser.parse(bytes, file: name), path: "")
    }

    func configuration() throws(TokenizerError) -> TokenizerConfiguration {
        var configuration = try TokenizerConfiguration(
            try json("tokenizer_config.json"), specialTokensMap: try json("special_tokens_map.json"),
            addedTokens: try json("added_tokens.json"))
        if configuration.chatTemplate == nil {
            if let bytes = try read("chat_template.jinja") {
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    throw .malformed(file: "chat_template.jinja", reason: "it is not UTF-8")
                }
                configuration.chatTemplate = text
            } else if let field = try json("chat_template.json") {
                configuration.chatTemplate = try field.optional("chat_template")?.string()
            }
        }
        return configuration
    }
}

extension Tokenizer {
    /// Loads the tokenizer of a folder in the layout of Hugging Face's repositories: `tokenizer.json`, or
    /// `tokenizer.model` (first for InternLM2, whose models use it), `qwen.tiktoken`, or `vocab.json` with `merges.txt`,
    /// each with the configuration files beside it.
    ///
    /// - Parameter imagePathTokens: of Qwen-VL, the number of ids between `<img>` and `</img>`, which then hold the path
    ///   of the image; `nil` treats what stands there as any text.
    /// - Throws: `TokenizerError` naming the file or the field that is wrong, or that asks for something unknown.
    public static func load(directory: String, imagePathTokens: Int? = nil) throws(TokenizerError) -> Tokenizer {
        let files = TokenizerFiles(directory: directory)
        let configuration = try files.configuration()
        if configuration.tokenizerClass == "InternLM2Tokenizer",
            let tokenizer = try Tokenizer(sentencePiece: files, configuration)
        {
            return tokenizer
        }
        if let root = try files.json("tokenizer.json") {
            return try Tokenizer(json: root, configuration: configuration)
        }
        if let tokenizer = try Tokenizer(tiktoken: files, configuration, imagePathTokens: imagePathTokens) {
            return tokenizer
        }
        if let tokenizer = try Tokenizer(legacy: files, configuration: configuration) { return tokenizer }
        if let tokenizer = try Tokenizer(sentencePiece: files, configuration) { return tokenizer }
        throw .noTokenizer(directory: directory)
    }

    /// `tokenizer.model`; `nil` if it is not there.
    private convenience init?(
        sentencePiece files: TokenizerFiles, _ configuration: TokenizerConfiguration
    ) throws(TokenizerError) {
        guard let bytes = try files.read("tokenizer.model") else { return nil }
        var configuration = configuration
        // Decoding has its own way of cleaning up.
        configuration.cleansUpSpaces = false
        self.init(
            backend: try SentencePieceTokenizer(bytes, file: "tokenizer.model", configuration: configuration),
            configuration: configuration)
    }

    /// `qwen.tiktoken`; `nil` if it is not there.
    private convenience init?(
        tiktoken files: TokenizerFiles, _ configuration: TokenizerConfiguration, imagePathTokens: Int?
    ) throws(TokenizerError) {
        let file = "qwen.tiktoken"
        guard let bytes = try files.read(file) else { return nil }
        let pattern = configuration.pattern ?? WordScanner.qwen2Pattern
        let parts = try TiktokenFile.parts(
            bytes, file: file, pattern: try Pattern(expression: pattern, field: "pat_str"))
        let backend = try JSONTokenizer(parts)
        let imagePaths = imagePathTokens.flatMap { ImagePathRule(backend.inventory, span: max($0, 0)) }
        self.init(backend: backend, configuration: configuration, imagePaths: imagePaths)
    }

    /// A tokenizer from the bytes of a `tokenizer.json` alone.
    public convenience init(json bytes: [UInt8]) throws(TokenizerError) {
        let file = "tokenizer.json"
        if bytes.count > TokenizerFiles.byteLimit {
            throw .tooLarge(file: file, bytes: bytes.count, limit: TokenizerFiles.byteLimit)
        }
        let root = JSONField(node: try JSONParser.parse(bytes, file: file), path: "")
        try self.init(json: root, configuration: TokenizerConfiguration())
    }

    /// A tokenizer from the bytes of a SentencePiece model alone, with SentencePiece's own rules.
    public convenience init(sentencePiece bytes: [UInt8]) throws(TokenizerError) {
        let configuration = TokenizerConfiguration()
        self.init(
            backend: try SentencePieceTokenizer(bytes, file: "tokenizer.model", configuration: configuration),
            configuration: configuration)
    }

    convenience init(json root: JSONField, configuration: TokenizerConfiguration) throws(TokenizerError) {
        var parts = try JSONTokenizerParts(root)
        try parts.add(configuration)
        self.init(backend: try JSONTokenizer(parts), configuration: configuration)
    }

    /// `vocab.json` with `merges.txt`; `nil` if they are not there.
    private convenience init?(
        legacy files: TokenizerFiles, configuration: TokenizerConfiguration
    ) throws(TokenizerError) {
        guard let vocabularyFile = try files.json("vocab.json"), let merges = try files.read("merges.txt") else {
            return nil
        }
        let model = try JSONTokenizerParts.legacyModel(vocabularyFile, merges: merges)
        let normalizer: Normalizer?
        let steps: [PreTokenizer.Step]
        switch configuration.tokenizerClass {
        case "Qwen2Tokenizer", "Qwen2TokenizerFast":
            normalizer = .unicode(.nfc)
            steps = [
                .split(.scanner(.qwen2), .isolated, invert: false),
                .byteLevel(addPrefixSpace: false, useExpression: false),
            ]
        case "GPT2Tokenizer", "GPT2TokenizerFast":
            normalizer = nil
            steps = [.byteLevel(addPrefixSpace: false, useExpression: true)]
        case let other:
            throw .unsupported(field: "tokenizer_config.json tokenizer_class", value: other ?? "null")
        }
        var parts = JSONTokenizerParts(
            model: model, normalizer: normalizer, preTokenizer: PreTokenizer(steps: steps), decoderStages: [.byteLevel])
        try parts.add(configuration)
        self.init(backend: try JSONTokenizer(parts), configuration: configuration)
    }
}

extension JSONTokenizerParts {
    /// Adds the tokens that only the configuration names, as the reference does after loading.
    mutating func add(_ configuration: TokenizerConfiguration) throws(TokenizerError) {
        for token in configuration.addedTokens { try add(token) }
        for var token in configuration.special where !has(token.content) {
            token.id = nextID
            token.special = true
            try add(token)
        }
    }

    /// The model of `vocab.json` and `merges.txt`.
    static func legacyModel(_ vocabularyFile: JSONField, merges: [UInt8]) throws(TokenizerError) -> BPEModel {
        let members = try vocabularyFile.members()
        var vocabulary = Vocabulary(minimumCapacity: members.count)
        for member in members {
            let value = JSONField(node: member.value, path: "vocab.json")
            vocabulary.insert(member.key, Int32(try value.integer(below: Vocabulary.limit)))
        }
        var table = MergeTable(minimumCapacity: 1 << 10)
        var rank = 0
        for (number, line) in merges.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let line = line.last == 0x0D ? line.dropLast() : line
            if line.isEmpty || number == 0 && line.starts(with: Array("#version".utf8)) { continue }
            let pair = line.split(separator: 0x20)
            guard pair.count == 2 else {
                throw .malformed(file: "merges.txt", reason: "line \(number + 1) does not have two tokens")
            }
            let path = "merges.txt line \(number + 1)"
            try add(Array(pair[0]), Array(pair[1]), rank, path, vocabulary, BPEModel.Options(), &table)
            rank += 1
        }
        return BPEModel(vocabulary: vocabulary, merges: table, options: BPEModel.Options())
    }
}
