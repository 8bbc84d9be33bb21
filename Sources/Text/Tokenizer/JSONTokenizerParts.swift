/// The parts of a tokenizer as its files describe them.
struct JSONTokenizerParts {
    private(set) var addedTokens: [AddedToken] = []
    private var addedContents: Set<[UInt8]> = []
    private var addedIDs: Set<Int32> = []
    var normalizer: Normalizer?
    var preTokenizer: PreTokenizer
    var postProcessor: PostProcessor
    var decoderStages: [DecoderSpecification]
    var model: BPEModel

    /// - Throws: `TokenizerError` naming the field that is wrong or not supported.
    init(_ root: JSONField) throws(TokenizerError) {
        model = try Self.model(try root.required("model"))
        nextID = Int32(model.vocabulary.tokens.count)
        if let field = try root.optional("normalizer") { normalizer = try Normalizer(field) }
        preTokenizer = try PreTokenizer(try root.optional("pre_tokenizer"))
        decoderStages = try DecoderSpecification.stages(try root.optional("decoder"))
        postProcessor = PostProcessor()
        if let field = try root.optional("added_tokens") {
            for item in try field.items() { try add(try Self.addedToken(item)) }
        }
        let vocabulary = model.vocabulary
        postProcessor = try PostProcessor(try root.optional("post_processor")) { vocabulary.id($0) }
    }

    init(
        model: BPEModel, normalizer: Normalizer?, preTokenizer: PreTokenizer, decoderStages: [DecoderSpecification]
    ) {
        self.model = model
        nextID = Int32(model.vocabulary.tokens.count)
        self.normalizer = normalizer
        self.preTokenizer = preTokenizer
        self.decoderStages = decoderStages
        postProcessor = PostProcessor()
    }

    /// Adds a token; one that is there already stays as it is. The id of the model's vocabulary counts, if it has one.
    mutating func add(_ token: AddedToken) throws(TokenizerError) {
        if token.content.isEmpty || has(token.content) { return }
        var token = token
        if let id = model.vocabulary.id(token.content) {
            token.id = id
        } else if model.vocabulary.tokens.indices.contains(Int(token.id)),
            model.vocabulary.tokens[Int(token.id)] != nil
                || addedIDs.contains(token.id)
        {
            throw .invalidField(
                "added_tokens", reason: "\(String(decoding: token.content, as: UTF8.self)) has the id of another token")
        }
        addedTokens.append(token)
        addedContents.insert(token.content)
        addedIDs.insert(token.id)
        nextID = max(nextID, token.id + 1)
    }

    func has(_ content: [UInt8]) -> Bool { addedContents.contains(content) }

    /// The id that the next added token gets.
    private(set) var nextID: Int32 = 0

    static func addedToken(_ item: JSONField) throws(TokenizerError) -> AddedToken {
        AddedToken(
            id: Int32(try item.required("id").integer(below: Vocabulary.limit)), content: try item.bytes("content"),
            singleWord: try item.bool("single_word", default: false),
            stripsLeft: try item.bool("lstrip", default: false),
            stripsRight: try item.bool("rstrip", default: false),
            normalized: try item.bool("normalized", default: true),
            special: try item.bool("special", default: false))
    }

    private static func model(_ field: JSONField) throws(TokenizerError) -> BPEModel {
        if let type = try field.optional("type"), try type.string() != "BPE" { throw type.unsupported }
        let members = try field.required("vocab").members()
        var vocabulary = Vocabulary(minimumCapacity: members.count)
        for member in members {
            let value = JSONField(node: member.value, path: "\(field.path).vocab")
            vocabulary.insert(member.key, Int32(try value.integer(below: Vocabulary.limit)))
        }
        if let dropout = try field.optional("dropout") {
            guard case .number(0) = dropout.node else { throw dropout.unsupported }
        }
        var options = BPEModel.Options()
        options.unknownToken = try field.optional("unk_token")?.bytes()
        options.fuseUnknown = try field.bool("fuse_unk", default: false)
        options.byteFallback = try field.bool("byte_fallback", default: false)
        options.ignoreMerges = try field.bool("ignore_merges", default: false)
        options.continuingSubwordPrefix = try field.optional("continuing_subword_prefix")?.bytes() ?? []
        options.endOfWordSuffix = try field.optional("end_of_word_suffix")?.bytes() ?? []
        let merges = try merges(try field.required("merges"), vocabulary, options)
        return BPEModel(vocabulary: vocabulary, merges: merges, options: options)
    }

    /// Merges as `"a b"` or as `["a", "b"]`.
    private static func merges(
        _ field: JSONField, _ vocabulary: Vocabulary, _ options: BPEModel.Options
    ) throws(TokenizerError) -> MergeTable {
        guard case .array(let items) = field.node else {
            throw .invalidField(field.path, reason: "expected a list, found \(field.node.kind)")
        }
        var table = MergeTable(minimumCapacity: items.count)
        for (rank, item) in items.enumerated() {
            let pair: [ArraySlice<UInt8>]
            switch item {
            case .string(let line):
                pair = line.split(separator: 0x20, omittingEmptySubsequences: false)
            case .array(let parts):
                pair = parts.compactMap { if case .string(let bytes) = $0 { bytes[...] } else { nil } }
            default: pair = []
            }
            guard pair.count == 2 else {
                throw .invalidField("\(field.path)[\(rank)]", reason: "expected two tokens")
            }
            try add(Array(pair[0]), Array(pair[1]), rank, "\(field.path)[\(rank)]", vocabulary, options, &table)
        }
        return table
    }

    static func add(
        _ left: [UInt8], _ right: [UInt8], _ rank: Int, _ path: @autoclosure () -> String, _ vocabulary: Vocabulary,
        _ options: BPEModel.Options, _ table: inout MergeTable
    ) throws(TokenizerError) {
        let merged = left + right.dropFirst(options.continuingSubwordPrefix.count)
        guard let first = vocabulary.id(left), let second = vocabulary.id(right), let id = vocabulary.id(merged) else {
            let pair = "\(String(decoding: left, as: UTF8.self)) \(String(decoding: right, as: UTF8.self))"
            throw .invalidField(path(), reason: "the vocabulary lacks a part of the merge \(pair.debugDescription)")
        }
        table.insert(first, second, rank: UInt32(rank), id: id)
    }
}
