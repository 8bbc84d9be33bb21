/// What a tokenizer puts around the ids of a text on request.
struct PostProcessor: Sendable {
    enum Part: Sendable, Hashable {
        case ids([Int32])
        case text
    }

    private(set) var parts: [Part] = [.text]

    init(parts: [Part] = [.text]) { self.parts = parts }

    /// - Parameter id: the id of a token.
    init(_ field: JSONField?, id: ([UInt8]) -> Int32?) throws(TokenizerError) {
        guard let field else { return }
        let type = try field.required("type")
        switch try type.string() {
        case "ByteLevel": break
        case "TemplateProcessing": parts = try Self.template(field)
        case "BertProcessing", "RobertaProcessing":
            parts = [.ids([try Self.pair(field, "cls")]), .text, .ids([try Self.pair(field, "sep")])]
        case "Sequence":
            for item in try field.required("processors").items() {
                let inner = try PostProcessor(item, id: id)
                parts = parts.flatMap { $0 == .text ? inner.parts : [$0] }
            }
        default: throw type.unsupported
        }
    }

    private static func pair(_ field: JSONField, _ name: String) throws(TokenizerError) -> Int32 {
        let items = try field.required(name).items()
        guard items.count == 2 else {
            throw .invalidField("\(field.path).\(name)", reason: "expected a token and an id")
        }
        return Int32(try items[1].integer(below: Vocabulary.limit))
    }

    private static func template(_ field: JSONField) throws(TokenizerError) -> [Part] {
        var special: [[UInt8]: [Int32]] = [:]
        if let tokens = try field.optional("special_tokens") {
            for member in try tokens.members() {
                let name = String(decoding: member.key, as: UTF8.self)
                let token = JSONField(node: member.value, path: "\(tokens.path).\(name)")
                var ids: [Int32] = []
                for id in try token.required("ids").items() {
                    ids.append(Int32(try id.integer(below: Vocabulary.limit)))
                }
                special[member.key] = ids
            }
        }
        var parts: [Part] = []
        for item in try field.required("single").items() {
            if let token = try item.optional("SpecialToken") {
                let name = try token.required("id")
                guard let ids = special[try name.bytes()] else {
                    throw .invalidField(name.path, reason: "special_tokens does not have it")
                }
                parts.append(.ids(ids))
            } else if try item.optional("Sequence") != nil {
                parts.append(.text)
            } else {
                throw item.unsupported
            }
        }
        return parts
    }
}
