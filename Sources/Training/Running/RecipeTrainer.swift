internal import Foundation
internal import Hashing
public import Torch

/// A recipe at work, whatever kind of model it trains.
public protocol RecipeTrainer: AnyObject {
    /// Trains until the last stage is done or a signal asks to stop.
    func run() throws -> RecipeOutcome
    /// Measures the model as it is on the held-out samples; nil where the recipe asks for no such thing.
    func evaluate() throws -> EvaluationRecord?
    var parameterCount: Int { get }
    /// Sums over the whole run, earlier parts included.
    var counters: TrainingState.Counters { get }
    /// Steps done in all stages.
    var step: Int { get }
}

public enum RecipeOutcome: Sendable, Equatable {
    case finished(checkpoint: String)
    /// Asked to stop; the checkpoint holds all that was done.
    case stopped(checkpoint: String, signal: String?)
}

extension Recipe.Loaded {
    /// What runs this recipe: a trainer of encoders where it has an `objective`, else of language models.
    ///
    /// - Parameter group: the processes that train together.
    public func trainer(
        resume: Bool, observer: any TrainingObserver, group: ProcessGroup = .alone
    ) throws -> any RecipeTrainer {
        try recipe.requireSupport()
        if recipe.objective == nil {
            return try Trainer(self, resume: resume, observer: observer, group: group)
        }
        return try EncoderTrainer(self, resume: resume, observer: observer, group: group)
    }

    /// Whether the recipe's output holds checkpoints to go on from.
    public var hasCheckpoint: Bool {
        !CheckpointStore(output: URL(fileURLWithPath: recipe.output), keep: recipe.keep).folders().isEmpty
    }

    /// What must be the same on all ranks of a run.
    public var facts: [(name: String, value: String)] {
        [
            ("libtorch", Engine.version), ("the format of training state", String(TrainingState().version)),
            ("the recipe (SHA-256)", Array(text.utf8).withUnsafeBytes { sha256($0) }),
        ]
    }
}
