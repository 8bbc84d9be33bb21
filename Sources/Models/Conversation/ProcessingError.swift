/// A conversation that a model cannot take.
public enum ProcessingError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The template placed another number of pictures or videos than the conversation has.
    case mediaCount(kind: String, given: Int, placed: Int)
    /// The rows of a visual item are not as many as its features.
    case tokenCount(item: Int, expected: Int, found: Int)
    case imageSize(width: Int, height: Int, reason: String)
    case emptyVideo
    case contextLength(tokens: Int, limit: Int)
    case unsupported(String)
    case template(String)
    case tokenOutOfRange(id: Int, index: Int, vocabulary: Int)

    public var description: String {
        switch self {
        case .mediaCount(let kind, let given, let placed):
            "the conversation has \(given) \(kind)(s), but the chat template placed \(placed); "
                + "use a template that places every \(kind)"
        case .tokenCount(let item, let expected, let found):
            "visual item \(item) has \(expected) features and \(found) places in the sequence"
        case .imageSize(let width, let height, let reason):
            "a picture of \(width)×\(height) pixels cannot be used: \(reason)"
        case .emptyVideo: "a video has no frames"
        case .contextLength(let tokens, let limit):
            "the prompt has \(tokens) tokens, the model takes \(limit); shorten the text, use fewer or smaller pictures "
                + "(a lower pixel limit)"
        case .unsupported(let what): what
        case .template(let message): "the chat template failed: \(message)"
        case .tokenOutOfRange(let id, let index, let vocabulary):
            "token \(index) has the id \(id), but the vocabulary ends at \(vocabulary - 1)"
        }
    }
}
