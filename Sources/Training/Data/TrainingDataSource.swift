public import Data
internal import Foundation
internal import Media
public import Models

/// One conversation to learn from.
public struct TrainingSample: Sendable {
    /// Says where it came from, in logs and skip lists.
    public var id: String
    public var conversation: Conversation
    /// What is known of each picture, in their order; empty where nothing is.
    public var regions: [[PictureRegion]]
    /// What each answer must look at, in their order.
    public var answers: [AnswerPlaces]
    /// Whether answers that repeat what is written are learned a character a token; see `spellOut`.
    public var isSpelled: Bool

    public init(
        id: String, conversation: Conversation, regions: [[PictureRegion]] = [], answers: [AnswerPlaces] = [],
        isSpelled: Bool = false
    ) {
        self.id = id
        self.conversation = conversation
        self.regions = regions
        self.answers = answers
        self.isSpelled = isSpelled
    }
}

/// Samples by number, the same ones in every run.
public protocol TrainingDataSource: Sendable {
    /// For logs.
    var name: String { get }
    /// Samples in one epoch; nil where there is no end.
    var count: Int? { get }
    /// Says where the sample at `index` comes from, also when it cannot be read.
    func id(of index: Int) -> String
    /// The sample at `index`: a function of the source and the index alone. Any thread may call it.
    func sample(at index: Int) throws -> TrainingSample
    /// Files that the sample at `index` is read from, as far as that is known without reading them.
    func files(of index: Int) -> [String]
}

extension TrainingDataSource {
    public func id(of index: Int) -> String { "\(name):\(index)" }
    public func files(of index: Int) -> [String] { [] }
}

/// Pictures drawn while training.
public struct SyntheticSource: TrainingDataSource {
    public let generator: SyntheticGenerator
    private let spells: Bool

    /// - Parameter spells: whether answers that repeat what is written are learned a character a token.
    public init(_ options: SyntheticOptions, spells: Bool = false) throws {
        generator = try SyntheticGenerator(options)
        self.spells = spells
    }

    public var name: String {
        let tasks = SyntheticTask.allCases.filter { (generator.options.weights[$0] ?? 0) > 0 }.map(\.rawValue)
        return tasks.count > 4 || tasks.isEmpty ? "synthetic" : "synthetic " + tasks.joined(separator: ", ")
    }
    public var count: Int? { nil }
    public func id(of index: Int) -> String { "synthetic:\(generator.options.seed):\(index)" }

    public func sample(at index: Int) throws -> TrainingSample {
        let sample = try generator.sample(at: index)
        return TrainingSample(
            id: id(of: index), conversation: sample.conversation,
            regions: [sample.regions], answers: sample.turns.map(\.places), isSpelled: spells)
    }
}

/// Another source with noise in place of its pictures.
struct BlindSource: TrainingDataSource {
    private let source: any TrainingDataSource

    init(_ source: any TrainingDataSource) { self.source = source }

    var name: String { source.name }
    var count: Int? { source.count }
    func files(of index: Int) -> [String] { source.files(of: index) }

    func sample(at index: Int) throws -> TrainingSample {
        var sample = try source.sample(at: index)
        var generator = SeededGenerator(seed: 0x626C_696E_64, stream: UInt64(truncatingIfNeeded: index))
        sample.conversation.hidePictures(using: &generator)
        sample.regions = []
        sample.answers = []
        return sample
    }
}

extension SyntheticSample {
    /// Questions and answers as turns, with the picture before the first question.
    public var conversation: Conversation {
        turns.enumerated().flatMap { number, turn in
            [
                Message(.user, (number == 0 ? [.image(image)] : []) + [.text(turn.question)]),
                Message(.assistant, turn.answer),
            ]
        }
    }
}

/// Conversations of a file.
public struct ConversationSource: TrainingDataSource {
    public let file: ConversationFile
    private let sampling: VideoSampling?

    /// - Parameter sampling: how frames of videos are chosen; nil where the model takes none.
    public init(_ file: ConversationFile, sampling: VideoSampling?) {
        self.file = file
        self.sampling = sampling
    }

    public var name: String { file.url.lastPathComponent }
    public var count: Int? { file.count }
    public func id(of index: Int) -> String { "\(name):\(file.line(of: index))" }
    public func files(of index: Int) -> [String] {
        guard let row = try? file.row(at: index) else { return [file.url.path] }
        return (row.images + row.videos).filter { !$0.hasPrefix("data:") }
    }

    public func sample(at index: Int) throws -> TrainingSample {
        TrainingSample(
            id: id(of: index), conversation: try file.conversation(at: index, sampling: sampling))
    }
}
