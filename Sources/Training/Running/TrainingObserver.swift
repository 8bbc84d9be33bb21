public import Foundation

/// Who is told what a run does: logs, progress bars, tests.
public protocol TrainingObserver: AnyObject {
    /// A stage begins, or goes on after a resume.
    func begin(_ stage: StageSummary)
    func step(_ record: StepRecord)
    func evaluation(_ record: EvaluationRecord)
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
    public var skippedSteps: Int
    public var skippedSamples: Int
    /// Whether `log_every` asks for a line.
    public var isLogged: Bool

    public var tokensPerSecond: Double { Double(report.tokens) / max(seconds, 1e-9) }
    public var picturesPerSecond: Double { Double(report.pictures) / max(seconds, 1e-9) }
}

/// How well the model does on samples that it does not learn from.
public struct EvaluationRecord: Sendable {
    public var step: Int
    /// Mean over supervised tokens.
    public var loss: Double
    /// The part of supervised tokens that the model would have chosen itself.
    public var accuracy: Double
    public var samples: Int
    /// The same with noise in place of the pictures: what is left where nothing is seen.
    public var blind: Blind?

    public struct Blind: Sendable {
        public var loss: Double
        public var accuracy: Double

        init(_ scores: (loss: Double, accuracy: Double)) { (loss, accuracy) = scores }
    }
}
