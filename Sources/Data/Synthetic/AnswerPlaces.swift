/// What an answer speaks of: objects of the first picture, by number, or what is known of it (`SyntheticSample.Metadata`:
/// its objects, then its captions). Empty where nothing is known.
public struct AnswerPlaces: Sendable, Equatable {
    /// What must be looked at to answer: one list for each thing that the question names.
    public var things: [[Int]] = []
    /// What is written in the picture beside each of the things, where the question names them by that; else empty.
    public var names: [String] = []
    /// The objects whose writing the answer repeats, in its order.
    public var reads: [Int] = []
    /// Of an answer that lists things: what each part speaks of.
    public var lists: [[Int]] = []

    /// Stands between two parts of a list, and nowhere else in it.
    public static let listSeparator = "; "

    public init(things: [[Int]] = [], names: [String] = [], reads: [Int] = [], lists: [[Int]] = []) {
        self.things = things
        self.names = names
        self.reads = reads
        self.lists = lists
    }
}
