/// A regular expression of a tokenizer file.
struct Expression: Sendable {
    init(_ pattern: String, field: String) throws(TokenizerError) {
        throw .unsupported(field: field, value: pattern.debugDescription)
    }

    func matches(_ bytes: [UInt8], _ range: Range<Int>) throws(TokenizerError) -> [Range<Int>] { [] }
}
