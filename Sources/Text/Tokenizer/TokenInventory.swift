/// All tokens of a tokenizer: those of the model and those added to it.
struct TokenInventory: Sendable {
    /// Indexed by id; `nil` where no token has the id.
    private(set) var tokens: [[UInt8]?]
    private(set) var isSpecial: [Bool]
    /// In the order of their ids.
    let added: [AddedToken]
    private var addedIDs: [[UInt8]: Int32] = [:]
    private let vocabulary: Vocabulary

    init(vocabulary: Vocabulary, added: [AddedToken]) {
        self.vocabulary = vocabulary
        self.added = added.sorted { $0.id < $1.id }
        tokens = vocabulary.tokens
        for token in added {
            while tokens.count <= Int(token.id) { tokens.append(nil) }
            tokens[Int(token.id)] = token.content
            addedIDs[token.content] = token.id
        }
        isSpecial = [Bool](repeating: false, count: tokens.count)
        for token in added where token.special { isSpecial[Int(token.id)] = true }
    }

    func id(_ token: [UInt8]) -> Int32? { addedIDs[token] ?? vocabulary.id(token) }

    func token(_ id: Int32) -> [UInt8]? { tokens.indices.contains(Int(id)) ? tokens[Int(id)] : nil }
}
