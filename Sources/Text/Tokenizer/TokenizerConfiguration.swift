/// `tokenizer_config.json` and the small files beside it.
struct TokenizerConfiguration: Sendable {
    /// The special tokens that have a name, in the order in which the reference adds them to a vocabulary.
    static let names = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]

    var tokenizerClass: String?
    var cleansUpSpaces = false
    var addsBeginning: Bool?
    var addsEnd: Bool?
    var chatTemplate: String?
    /// The pattern that cuts text into words, of tiktoken tokenizers.
    var pattern: String?
    /// By name, as in `names`.
    var named: [String: AddedToken] = [:]
    var additional: [AddedToken] = []
    /// `added_tokens_decoder`, or `added_tokens.json` of older folders.
    var addedTokens: [AddedToken] = []

    init() {}

    /// Reads what is there of `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
    init(_ configuration: JSONField?, specialTokensMap: JSONField?, addedTokens added: JSONField?)
        throws(TokenizerError)
    {
        if let configuration {
            tokenizerClass = try configuration.optional("tokenizer_class")?.string()
            cleansUpSpaces = try configuration.bool("clean_up_tokenization_spaces", default: false)
            addsBeginning = try configuration.optional("add_bos_token")?.bool()
            addsEnd = try configuration.optional("add_eos_token")?.bool()
            pattern = try configuration.optional("pat_str")?.string()
            if let template = try configuration.optional("chat_template") {
                chatTemplate = try Self.template(template)
            }
            if let decoder = try configuration.optional("added_tokens_decoder") {
                for member in try decoder.members() {
                    let name = String(decoding: member.key, as: UTF8.self)
                    let field = JSONField(node: member.value, path: "\(decoder.path).\(name)")
                    guard let id = Int32(name), id >= 0, id < Int32(Vocabulary.limit) else {
                        throw .invalidField(field.path, reason: "the name is not an id")
                    }
                    addedTokens.append(try Self.token(field, id: id))
                }
            }
        }
        for field in [configuration, specialTokensMap] {
            guard let field else { continue }
            for name in Self.names where named[name] == nil {
                if let token = try field.optional(name) { named[name] = try Self.token(token, id: -1) }
            }
            if additional.isEmpty, let list = try field.optional("additional_special_tokens") {
                for item in try list.items() { additional.append(try Self.token(item, id: -1)) }
            }
        }
        if let added, addedTokens.isEmpty {
            let special = Set((Array(named.values) + additional).map(\.content))
            for member in try added.members() {
                let field = JSONField(node: member.value, path: "added_tokens.json")
                let id = Int32(try field.integer(below: Vocabulary.limit))
                let isSpecial = special.contains(member.key)
                addedTokens.append(
                    AddedToken(id: id, content: member.key, normalized: !isSpecial, special: isSpecial))
            }
        }
        addedTokens.sort { $0.id < $1.id }
    }

    /// All special tokens that are named.
    var special: [AddedToken] { Self.names.compactMap { named[$0] } + additional }

    private static func token(_ field: JSONField, id: Int32) throws(TokenizerError) -> AddedToken {
        if case .string(let content) = field.node { return AddedToken(id: id, content: content) }
        return AddedToken(
            id: id, content: try field.bytes("content"), singleWord: try field.bool("single_word", default: false),
            stripsLeft: try field.bool("lstrip", default: false), stripsRight: try field.bool("rstrip", default: false),
            normalized: try field.bool("normalized", default: id < 0 ? false : true),
            special: try field.bool("special", default: id < 0))
    }

    /// A template, or a list of named ones of which the default one counts.
    private static func template(_ field: JSONField) throws(TokenizerError) -> String? {
        guard case .array = field.node else { return try field.string() }
        for item in try field.items() where try item.string("name") == "default" { return try item.string("template") }
        return nil
    }
}

/// Special tokens by the part they play.
public struct SpecialTokens: Sendable, Hashable {
    /// The id of the beginning of a text.
    public let bos: Int32?
    /// The id of the end of a text or of an answer.
    public let eos: Int32?
    /// The id that fills short rows of a batch.
    public let pad: Int32?
    /// The id of what the vocabulary cannot spell.
    public let unknown: Int32?
    /// The ids of `additional_special_tokens`, in the order of the file.
    public let additional: [Int32]
    /// All special tokens with their ids, in the order of the ids.
    public let all: [Token]

    public struct Token: Sendable, Hashable {
        public let text: String
        public let id: Int32
    }

    init(_ configuration: TokenizerConfiguration, _ inventory: TokenInventory) {
        func id(_ name: String) -> Int32? { configuration.named[name].flatMap { inventory.id($0.content) } }
        bos = id("bos_token")
        eos = id("eos_token")
        pad = id("pad_token")
        unknown = id("unk_token")
        additional = configuration.additional.compactMap { inventory.id($0.content) }
        all = inventory.added.filter(\.special).map {
            Token(text: String(decoding: $0.content, as: UTF8.self), id: $0.id)
        }
    }
}
