/// Text in pieces that remember where they came from.
///
/// A chat template renders to this type instead of a plain string, so that text a user typed can never become a special
/// token, and so that the loss mask follows from the rendering itself instead of from tokenising pieces again.
public struct TaggedText: Sendable, Hashable {
    /// Where a piece of text came from.
    public enum Source: Sendable, Hashable {
        /// Written by the template (or by a value that the program vouches for): may hold special tokens.
        case template
        /// A value that came from outside, under the number its owner gave it: never holds special tokens.
        case data(Int)
        /// A piece of such a value that the program vouches for, such as the marks around a box in an answer of a
        /// training set: may hold special tokens.
        case vouched(Int)

        public var mayHoldSpecialTokens: Bool {
            if case .data = self { return false }
            return true
        }

        /// The number that the value's owner gave it; nil for the template.
        public var number: Int? {
            switch self {
            case .template: nil
            case .data(let number), .vouched(let number): number
            }
        }
    }

    public struct Run: Sendable, Hashable {
        public var text: String
        public var source: Source

        public init(_ text: String, _ source: Source) {
            self.text = text
            self.source = source
        }
    }

    /// Neighbouring runs have different sources, and no run is empty.
    public private(set) var runs: [Run]

    public init() { runs = [] }

    public init(_ text: String, _ source: Source) {
        runs = text.isEmpty ? [] : [Run(text, source)]
    }

    /// The text without its origins.
    public var string: String {
        runs.count == 1 ? runs[0].text : runs.reduce(into: "") { $0 += $1.text }
    }

    public mutating func append(_ text: String, _ source: Source) {
        if text.isEmpty { return }
        if let last = runs.indices.last, runs[last].source == source {
            runs[last].text += text
        } else {
            runs.append(Run(text, source))
        }
    }

    public mutating func append(_ other: TaggedText) {
        for run in other.runs { append(run.text, run.source) }
    }
}
