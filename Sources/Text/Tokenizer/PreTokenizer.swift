/// The pre-tokenizers of tokenizer.json, as a list of steps.
struct PreTokenizer: Sendable {
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }

    enum PrependScheme: String, Sendable { case always, never, first }

    enum ScalarClass: Sendable { case whitespace, digit, punctuation, one([UInt8]) }

    enum Step: Sendable {
        case split(Pattern, Behavior, invert: Bool)
        case splitScalars(ScalarClass, Behavior)
        /// `\w+|[^\w\s]+`, the rest removed.
        case wordsAndSymbols
        case byteLevel(addPrefixSpace: Bool, useExpression: Bool)
        case metaspace(replacement: [UInt8], PrependScheme, split: Bool)
    }

    private(set) var steps: [Step] = []

    init(_ field: JSONField?) throws(TokenizerError) {
        if let field { try add(field) }
    }

    init(steps: [Step]) { self.steps = steps }

    private mutating func add(_ field: JSONField) throws(TokenizerError) {
        let type = try field.required("type")
        switch try type.string() {
        case "Sequence":
            for item in try field.required("pretokenizers").items() { try add(item) }
        case "Split":
            let pattern = try Pattern(try field.required("pattern"))
            let invert = try field.bool("invert", default: false)
            steps.append(.split(pattern, try Self.behavior(field), invert: invert))
        case "ByteLevel":
            let space = try field.bool("add_prefix_space", default: true)
            steps.append(.byteLevel(addPrefixSpace: space, useExpression: try field.bool("use_regex", default: true)))
        case "Metaspace":
            steps.append(
                .metaspace(
                    replacement: try field.optional("replacement")?.bytes() ?? Array("▁".utf8),
                    try Self.prependScheme(field), split: try field.bool("split", default: true)))
        case "Digits":
            let individual = try field.bool("individual_digits", default: false)
            steps.append(.splitScalars(.digit, individual ? .isolated : .contiguous))
        case "Punctuation":
            let behavior = try field.optional("behavior") == nil ? .isolated : try Self.behavior(field)
            steps.append(.splitScalars(.punctuation, behavior))
        case "BertPreTokenizer":
            steps += [.splitScalars(.whitespace, .removed), .splitScalars(.punctuation, .isolated)]
        case "Whitespace": steps.append(.wordsAndSymbols)
        case "WhitespaceSplit": steps.append(.splitScalars(.whitespace, .removed))
        case "CharDelimiterSplit": steps.append(.splitScalars(.one(try field.bytes("delimiter")), .removed))
        default: throw type.unsupported
        }
    }

    private static func behavior(_ field: JSONField) throws(TokenizerError) -> Behavior {
        let value = try field.required("behavior")
        guard let behavior = Behavior(rawValue: try value.string()) else { throw value.unsupported }
        return behavior
    }

    /// `prepend_scheme`, or `add_prefix_space` of older files.
    static func prependScheme(_ field: JSONField) throws(TokenizerError) -> PrependScheme {
        if let value = try field.optional("prepend_scheme") {
            guard let scheme = PrependScheme(rawValue: try value.string()) else { throw value.unsupported }
            if let old = try field.optional("add_prefix_space"), try !old.bool(), scheme != .never {
                throw .invalidField(old.path, reason: "it contradicts prepend_scheme")
            }
            return scheme
        }
        return try field.bool("add_prefix_space", default: true) ? .always : .never
    }

    /// The scanner that does all the work, if words are what it finds and nothing is added: the quick way.
    var scanner: WordScanner? {
        if case .byteLevel(addPrefixSpace: false, let useExpression) = steps.last {
            if steps.count == 1, useExpression { return .gpt2 }
            if steps.count == 2, !useExpression,
                case .split(.scanner(let scanner), .isolated, invert: _) = steps[0]
            {
                return scanner
            }
        }
        return nil
    }

    /// Whether the words leave as GPT-2's stand-ins for bytes, of which the last step makes them.
    var endsInBytes: Bool {
        var others = 0
        for step in steps { if case .byteLevel = step { others += 1 } }
        if others == 1, case .byteLevel = steps.last { return true }
        return false
    }
}
