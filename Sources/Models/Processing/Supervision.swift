import Text

/// Which tokens the loss counts: an assistant's message from its first token to the stop token behind it.
///
/// - Parameter isAssistant: for each number that data carries, whether an assistant wrote it.
func supervisedTokens(_ tokens: [TaggedToken], isAssistant: [Bool], stopTokens: Set<Int32>) -> [Bool] {
    var result = [Bool](repeating: false, count: tokens.count)
    var isInside = false
    for (index, token) in tokens.enumerated() {
        switch token.source {
        case .data(let message), .vouched(let message):
            isInside = isAssistant.indices.contains(message) && isAssistant[message]
            result[index] = isInside
        case .template:
            result[index] = isInside
            if stopTokens.contains(token.id) { isInside = false }
        }
    }
    return result
}

extension TaggedText {
    /// The text of a message, which can never become a special token. Only an answer may hold the marks around places in
    /// a picture, because answers come from a model or a training set; a question only where its family asks with them.
    init(_ text: String, of message: Int, _ role: Role, marks: [String], questionMarks: [String] = []) {
        self.init()
        let marks = role == .assistant ? marks : role == .user ? questionMarks : []
        let starts = Set(marks.compactMap(\.first))
        guard text.contains(where: starts.contains) else {
            append(text, .data(message))
            return
        }
        var rest = Substring(text)
        while let start = rest.firstIndex(where: starts.contains) {
            append(String(rest[..<start]), .data(message))
            rest = rest[start...]
            if let mark = marks.first(where: rest.hasPrefix) {
                append(mark, .vouched(message))
                rest = rest.dropFirst(mark.count)
            } else {
                append(String(rest.prefix(1)), .data(message))
                rest = rest.dropFirst()
            }
        }
        append(String(rest), .data(message))
    }
}
