internal import Models
internal import Text

extension ProcessedSequence {
    /// The rows of each answer, one behind another.
    var answerSpans: [Range<Int>] {
        var spans: [Range<Int>] = []
        for (row, token) in rows.enumerated() where token.isSupervised && row > 0 {
            if let last = spans.last, last.upperBound == row {
                spans[spans.count - 1] = last.lowerBound..<row + 1
            } else {
                spans.append(row..<row + 1)
            }
        }
        return spans
    }

    /// Writes answers with a token for each character in place of the tokenizer's longest pieces. The text is the same.
    ///
    /// A piece that holds half a word must be put together from several places of a picture, and there are a thousand of
    /// them; a character stands at one place, and there are a hundred. A small model learns to read in a fraction of the
    /// samples this way, and what it writes is decoded like everything else. (Sennrich's subwords with a dropout of 1,
    /// Provilkov et al. 2020.)
    ///
    /// - Parameter isSpelled: of an answer by its number.
    mutating func spellOut(_ tokenizer: Tokenizer, where isSpelled: (Int) -> Bool) throws {
        let spelled = answerSpans.enumerated().filter { isSpelled($0.offset) }
        if spelled.isEmpty { return }
        var result: [TokenRow] = [], done = 0, added: Int32 = 0
        func append(_ row: TokenRow) {
            var row = row
            row.position &+= SIMD3(repeating: added)
            result.append(row)
        }
        for (_, span) in spelled {
            rows[done..<span.lowerBound].forEach(append)
            // The last token of a span ends the turn.
            for row in rows[span].dropLast() {
                let letters = try tokenizer.letters(of: row.id)
                for (number, id) in letters.enumerated() {
                    if number > 0 { added += 1 }
                    var letter = row
                    letter.id = id
                    append(letter)
                }
            }
            done = span.upperBound - 1
        }
        rows[done...].forEach(append)
        rows = result
        nextPosition += added
    }
}

extension Tokenizer {
    /// Tokens of single characters that together are the text of a token; the token alone where there are none.
    fileprivate func letters(of id: Int32) throws -> [Int32] {
        guard let bytes = bytes(of: id), let text = String(validating: bytes, as: UTF8.self), text.count > 1 else {
            return [id]
        }
        let letters = try text.flatMap { try encode(String($0)) }
        // A tokenizer that puts a mark before words would put one before each letter.
        return letters.flatMap { self.bytes(of: $0) ?? [] } == bytes ? letters : [id]
    }
}
