/// What can be wrong with tokenizer files, or with ids and text given to a tokenizer.
public enum TokenizerError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file that the tokenizer needs is not there or cannot be read.
    case unreadable(file: String, reason: String)
    /// A file is larger than this program reads.
    case tooLarge(file: String, bytes: Int, limit: Int)
    /// A file is not well-formed.
    case malformed(file: String, reason: String)
    /// A field is missing or has the wrong type or value.
    case invalidField(String, reason: String)
    /// A field asks for something that this program does not do, and that would change the ids.
    case unsupported(field: String, value: String)
    /// No tokenizer file is in the folder.
    case noTokenizer(directory: String)
    /// An id outside `0 ..< vocabularySize`, or one that no token has.
    case unknownID(Int32, index: Int, vocabularySize: Int)
    /// A word that the vocabulary cannot spell, in a tokenizer without an unknown token.
    case unencodable(String)
    /// A regular expression took too long on a text.
    case expressionTooSlow(pattern: String)
    /// `<img>` without `</img>`.
    case unclosedImage
    /// The path inside an image tag is longer than the tokens that stand for the image.
    case imagePathTooLong(bytes: Int, limit: Int)

    public var description: String {
        switch self {
        case .unreadable(let file, let reason): "cannot read \(file): \(reason)"
        case .tooLarge(let file, let bytes, let limit):
            "\(file) has \(bytes) bytes, more than the \(limit) that a tokenizer file may have"
        case .malformed(let file, let reason): "\(file) is malformed: \(reason)"
        case .invalidField(let field, let reason): "field \(field): \(reason)"
        case .unsupported(let field, let value):
            "field \(field) has the value \(value), which this program does not support; "
                + "going on without it would give other ids"
        case .noTokenizer(let directory):
            "\(directory) has none of tokenizer.json, tokenizer.model, qwen.tiktoken, and vocab.json with merges.txt"
        case .unknownID(let id, let index, let size):
            "id \(id) at position \(index) is not in the vocabulary of \(size) entries"
        case .unencodable(let word): "the vocabulary cannot spell \(word.debugDescription) and has no unknown token"
        case .expressionTooSlow(let pattern): "the pattern \(pattern) takes too long on this text"
        case .unclosedImage: "an <img> is not closed by </img>"
        case .imagePathTooLong(let bytes, let limit):
            "the image path has \(bytes) bytes, and only \(limit) tokens stand for the image"
        }
    }
}
