public import Foundation
public import Media

/// Who is told what a run does: logs, progress bars, tests.
public protocol TrainingObserver: AnyObject {
    /// The run begins, or goes on after a resume.
    func begin(_ run: RunFacts)
    /// A stage begins, or goes on after a resume.
    func begin(_ stage: StageSummary)
    func step(_ record: StepRecord)
    func evaluation(_ record: EvaluationRecord)
    /// What the model answers to some of the held-out samples.
    func answers(_ answers: [SampleAnswer], step: Int)
    func checkpoint(_ folder: URL, step: Int)
    func skipped(_ samples: [SkippedSample], step: Int)
    /// Something that a reader should know, in one line.
    func note(_ line: String)
}

/// What a stage is about to do.
public struct StageSummary: Sendable {
    public var name: String
    /// From 0.
    public var index: Int
    public var stages: Int
    public var steps: Int
    /// Steps of it done before, as after a resume.
    public var done: Int
    public var learning: Int
    public var parameters: Int
    /// Values that learn, by part.
    public var parts: [(part: String, learning: Int, all: Int)]
}

/// One line of the log.
public struct StepRecord: Sendable {
    public var step: Int
    public var stage: String
    public var stageStep: Int
    public var stageSteps: Int
    public var rate: Double
    public var report: StepReport
    /// Seconds of the whole step, and those that it waited for data.
    public var seconds: Double
    public var waited: Double
    /// Seconds of training since the run's first step, without pauses.
    public var trainedSeconds: Double
    /// Floating-point operations that the mathematics of the step needs; nil where nobody counts them.
    public var operations: Double?
    /// Tokens that the step's rows had room for; nil where rows have no such limit.
    public var room: Int?
    /// Norms of the gradients by part before clipping, where the step is logged.
    public var gradientNorms: [String: Double] = [:]
    /// Of a step that changed nothing, the samples that it would have learned from.
    public var lostSamples: [String] = []
    /// Samples and tokens of each source of data.
    public var sources: [String: SourceShare] = [:]
    public var skippedSteps: Int
    public var skippedSamples: Int
    /// Whether `log_every` asks for a line.
    public var isLogged: Bool

    public var tokensPerSecond: Double { Double(report.tokens) / max(seconds, 1e-9) }
    public var picturesPerSecond: Double { Double(report.pictures) / max(seconds, 1e-9) }
}

/// What a source of data gave.
public struct SourceShare: Codable, Sendable, Equatable {
    public var samples = 0
    public var tokens = 0

    public init(samples: Int = 0, tokens: Int = 0) {
        self.samples = samples
        self.tokens = tokens
    }

    public static func += (sum: inout SourceShare, other: SourceShare) {
        sum.samples += other.samples
        sum.tokens += other.tokens
    }
}

/// A held-out question, and what the model says to it.
public struct SampleAnswer: Sendable {
    public var id: String
    public var question: String
    public var truth: String
    public var answer: String
    public var pictures: [Image]
}

/// How well the model does on samples that it does not learn from.
public struct EvaluationRecord: Sendable, Codable {
    public var step: Int
    /// Mean over supervised tokens.
    public var loss: Double
    /// The part of supervised tokens that the model would have chosen itself.
    public var accuracy: Double
    public var samples: Int
    /// What accuracy is the share of, behind a percentage.
    public var measure = "of answer tokens right"
    /// The same with noise in place of the pictures: what is left where nothing is seen.
    public var blind: Guess?
    /// The same of a guess that needs no model: one in as many as there are, or the mean; nil where nobody knows.
    public var chance: Guess?

    /// How well it goes without seeing.
    public struct Guess: Sendable, Codable {
        public var loss: Double
        public var accuracy: Double
    }
}
