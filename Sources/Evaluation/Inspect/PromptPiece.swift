import Models
import Text

/// A piece of a prompt as the model reads it.
public struct PromptPiece: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case text
        /// One special token.
        case special
        /// Places of a picture's features, all of one token.
        case features(picture: Int)
    }

    public var kind: Kind
    /// The text, or the token.
    public var text: String
    /// Tokens.
    public var count: Int
    /// The columns of gated cross-attention that these tokens see.
    public var columns: Range<Int>

    /// The rows of a sequence, equal neighbours joined.
    static func pieces(of sequence: ProcessedSequence, tokenizer: Tokenizer) throws -> [PromptPiece] {
        var pieces: [PromptPiece] = []
        var ids: [Int32] = []
        func flush() throws {
            guard !ids.isEmpty else { return }
            pieces[pieces.count - 1].text = try tokenizer.decode(ids)
            ids = []
        }
        for row in sequence.rows {
            let kind: Kind =
                row.item >= 0 ? .features(picture: Int(row.item)) : tokenizer.isSpecial(row.id) ? .special : .text
            let columns = Int(row.columns.lowerBound)..<Int(row.columns.upperBound)
            if let last = pieces.last, kind != .special, last.kind == kind, last.columns == columns {
                pieces[pieces.count - 1].count += 1
            } else {
                try flush()
                pieces.append(PromptPiece(kind: kind, text: "", count: 1, columns: columns))
                if kind != .text { pieces[pieces.count - 1].text = tokenizer.token(for: row.id) ?? "\(row.id)" }
            }
            if kind == .text { ids.append(row.id) }
        }
        try flush()
        return pieces
    }
}
