/// What `Split` and `Replace` look for.
enum Pattern: Sendable {
    case literal([UInt8])
    case scanner(WordScanner)
    case expression(Expression)

    init(_ field: JSONField) throws(TokenizerError) {
        if let literal = try field.optional("String") {
            self = .literal(try literal.bytes())
        } else if let expression = try field.optional("Regex") {
            self = try Pattern(expression: try expression.string(), field: expression.path)
        } else {
            throw field.unsupported
        }
    }

    init(expression: String, field: String) throws(TokenizerError) {
        if let scanner = WordScanner(pattern: expression) {
            self = .scanner(scanner)
        } else {
            self = .expression(try Expression(expression, field: field))
        }
    }

    /// The non-empty matches in a range, from left to right.
    func matches(_ bytes: [UInt8], _ range: Range<Int>) throws(TokenizerError) -> [Range<Int>] {
        var result: [Range<Int>] = []
        switch self {
        case .literal(let literal):
            guard let first = literal.first else { return [] }
            var index = range.lowerBound
            while index + literal.count <= range.upperBound {
                if bytes[index] == first, bytes[index..<(index + literal.count)].elementsEqual(literal) {
                    result.append(index..<(index + literal.count))
                    index += literal.count
                } else {
                    index += 1
                }
            }
        case .scanner(let scanner):
            let table = UnicodeClass.table
            var index = range.lowerBound
            while index < range.upperBound {
                let end = scanner.wordEnd(bytes, table, from: index, to: range.upperBound)
                result.append(index..<end)
                index = end
            }
        case .expression(let expression):
            result = try expression.matches(bytes, range)
        }
        return result
    }
}
