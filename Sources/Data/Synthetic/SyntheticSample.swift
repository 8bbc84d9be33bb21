public import Media

/// What a synthetic picture is asked about.
public enum SyntheticTask: String, Sendable, Codable, CodingKeyRepresentable, CaseIterable, Hashable {
    /// Reading a line of text.
    case text
    /// How many objects of a kind there are.
    case count
    /// The colour of an object.
    case color
    /// The shape of an object.
    case shape
    /// How objects stand to one another.
    case relation
    /// Where an object or a line of text is, as a box.
    case box
    /// Reading a bar chart.
    case chart
    /// Listing everything with its box.
    case describe
    /// Telling the hour from a clock; see `keptBack`.
    case clock

    /// What models are trained and measured on.
    public static let allCases: [SyntheticTask] = [.text, .count, .color, .shape, .relation, .box, .chart, .describe]
    /// What is drawn only for who asks for it by name: tasks to fine-tune on, which no shipped model has seen.
    public static let keptBack: [SyntheticTask] = [.clock]
}

/// The language of a sample's questions and of those answers that are words.
public enum SyntheticLanguage: String, Sendable, Codable, CaseIterable, Hashable {
    case english = "en"
    case chinese = "zh"
}

/// One question about a picture, with its answer.
public struct SyntheticTurn: Sendable, Codable, Equatable {
    public let task: SyntheticTask
    public let question: String
    public let answer: String
    /// What of the picture it speaks of. Not written to files.
    public let places: AnswerPlaces

    public init(task: SyntheticTask, question: String, answer: String, places: AnswerPlaces = AnswerPlaces()) {
        self.task = task
        self.question = question
        self.answer = answer
        self.places = places
    }

    private enum CodingKeys: String, CodingKey {
        case task, question, answer
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            task: try values.decode(SyntheticTask.self, forKey: .task),
            question: try values.decode(String.self, forKey: .question),
            answer: try values.decode(String.self, forKey: .answer))
    }
}

/// Something drawn in a picture that answers speak of.
public struct SyntheticObject: Sendable, Codable, Equatable {
    /// The object's name in the language of the sample, for example `red circle`, or the text of a line.
    public let label: String
    /// Around what is drawn, in pixels.
    public let box: Rectangle
    /// The named colour, in English.
    public let color: String?
    /// The shape's name, in English.
    public let shape: String?
    /// The value of a bar, or of the bar over a label.
    public let value: Int?
    /// Where each character of a written label stands, in pixels.
    public let characters: [Rectangle]?

    init(
        label: String, box: Rectangle, color: String? = nil, shape: String? = nil, value: Int? = nil,
        characters: [Rectangle]? = nil
    ) {
        self.label = label
        self.box = box
        self.color = color
        self.shape = shape
        self.value = value
        self.characters = characters
    }
}

/// A picture with questions and answers that are right by construction.
public struct SyntheticSample: Sendable, Equatable {
    public let image: Image
    /// The task of the first turn; further turns may ask other things of the same picture.
    public let task: SyntheticTask
    public let turns: [SyntheticTurn]
    public let metadata: Metadata

    /// What is known of the picture beside its questions.
    public struct Metadata: Sendable, Codable, Equatable {
        /// The place in the generator's sequence.
        public let index: Int
        public let language: SyntheticLanguage
        /// Everything drawn except clutter.
        public let objects: [SyntheticObject]
        /// Words that belong to a chart: labels of its bars and numbers of its axis.
        public let captions: [SyntheticObject]
        /// The family of the text in the picture, where there is text.
        public let font: String?
    }
}

extension SyntheticObject {
    /// What `color` may be.
    public static let colors = NamedColor.allCases.map(\.rawValue)
    /// What `shape` may be.
    public static let shapes = ShapeKind.allCases.map(\.rawValue)
}
