/// What to generate. Equal options give equal samples.
public struct SyntheticOptions: Sendable, Codable, Equatable {
    /// Training and held-out samples come from different random streams and different fonts.
    public enum Split: String, Sendable, Codable {
        case train
        /// Half of the pictures with text use a font that training never shows.
        case heldOut = "held-out"
    }

    /// How many questions a sample asks.
    public enum Turns: String, Sendable, Codable {
        /// One question of the sample's task, for evaluation.
        case single
        /// A conversation of several turns on one picture, for training: the picture is encoded once for all of them.
        case several
    }

    public var seed: UInt64 = 0
    public var split: Split = .train
    public var turns: Turns = .several
    /// How often each task is drawn, relative to the others; tasks that are missing are not drawn.
    public var weights: [SyntheticTask: Double] = SyntheticOptions.defaultWeights
    /// Sides of pictures, in pixels.
    public var sides: ClosedRange<Int> = 112...280
    /// The part of samples asked in Chinese.
    public var chineseShare: Double = 0.35
    /// Clutter, noise and JPEG artefacts: 0 is clean, 1 is hard.
    public var difficulty: Double = 0.5
    /// Objects that a scene holds at most, for early lessons: a single one needs no search. Relations take two or more.
    public var maxObjects = SyntheticOptions.allObjects

    /// Questions in a conversation about a scene or a chart, where there is so much to ask. Text costs less than
    /// pictures: many questions teach more in the same time.
    public var questions = 3...5

    /// How often each is what the first question of a counting task is about, relative to the others; those that are
    /// missing are not drawn. `defaultCounted` if nil.
    public var counted: [CountSubject: Double]?

    /// More than any scene holds.
    public static let allObjects = 20
    /// As many as a conversation may ask.
    public static let allQuestions = 40

    public init(
        seed: UInt64 = 0, split: Split = .train, turns: Turns = .several,
        weights: [SyntheticTask: Double] = SyntheticOptions.defaultWeights, sides: ClosedRange<Int> = 112...280,
        chineseShare: Double = 0.35, difficulty: Double = 0.5, maxObjects: Int = SyntheticOptions.allObjects,
        questions: ClosedRange<Int> = 3...5
    ) {
        self.seed = seed
        self.split = split
        self.turns = turns
        self.weights = weights
        self.sides = sides
        self.chineseShare = chineseShare
        self.difficulty = difficulty
        self.maxObjects = maxObjects
        self.questions = questions
    }

    /// Only the given task.
    public static func only(_ task: SyntheticTask) -> [SyntheticTask: Double] { [task: 1] }

    /// Reading needs the most practice: it has the largest alphabet of answers.
    public static let defaultWeights: [SyntheticTask: Double] = [
        .text: 3, .count: 1, .color: 0.5, .shape: 0.5, .relation: 1, .box: 1, .chart: 1.5, .describe: 1,
    ]

    public static let defaultCounted: [CountSubject: Double] = [.color: 3, .shape: 3, .kind: 3, .all: 2]

    /// - Throws: `SyntheticError.options` with the option, its value and what it may be.
    func validate() throws(SyntheticError) {
        func check(_ weights: some Collection<Double>, _ name: String) throws(SyntheticError) {
            guard weights.allSatisfy({ $0 >= 0 && $0.isFinite }), weights.contains(where: { $0 > 0 }) else {
                throw .options("\(name) must not be negative, and one must be positive")
            }
        }
        try check(weights.values, "task weights")
        if let counted { try check(counted.values, "weights of what is counted") }
        guard sides.lowerBound >= 96, sides.upperBound <= 2048 else {
            throw .options("sides of \(sides.lowerBound) to \(sides.upperBound) pixels are outside of 96 to 2048")
        }
        guard maxObjects >= 1 else { throw .options("at most \(maxObjects) objects are too few; allow 1 or more") }
        guard questions.lowerBound >= 1, questions.upperBound <= Self.allQuestions else {
            throw .options("\(questions.lowerBound) to \(questions.upperBound) questions are outside of 1 to 40")
        }
        guard (0...1).contains(chineseShare) else {
            throw .options("a Chinese share of \(chineseShare) is outside of 0 to 1")
        }
        guard (0...1).contains(difficulty) else {
            throw .options("a difficulty of \(difficulty) is outside of 0 to 1")
        }
    }
}

/// Why samples could not be generated or written.
public enum SyntheticError: Error, Equatable, CustomStringConvertible {
    case options(String)
    case exists(path: String)
    case count(Int)
    case unplaceable(task: SyntheticTask, index: Int)

    public var description: String {
        switch self {
        case .options(let words): "synthetic data: \(words)"
        case .exists(let path): "\(path) already exists; choose another directory or remove it"
        case .count(let count): "\(count) samples cannot be written; ask for 1 or more"
        case .unplaceable(let task, let index):
            "no \(task.rawValue) picture could be laid out for sample \(index); allow larger sides"
        }
    }
}
