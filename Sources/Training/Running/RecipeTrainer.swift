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
    public func trainer(resume: Bool, observer: any TrainingObserver) throws -> any RecipeTrainer {
        try recipe.requireSupport()
        return recipe.objective == nil
            ? try Trainer(self, resume: resume, observer: observer)
            : try EncoderTrainer(self, resume: resume, observer: observer)
    }
}
