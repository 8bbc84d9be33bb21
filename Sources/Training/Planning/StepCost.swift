internal import Models

/// Operations that the mathematics of a stage's steps needs, whatever the machine does for them.
struct StepCost {
    private let outline: ModelOutline
    private let trained: TrainedShare
    /// Whether pictures go through the vision part only.
    private let isVisionAlone: Bool

    init(_ stage: Recipe.Stage, of outline: ModelOutline) {
        self.outline = outline
        trained = TrainedShare(stage, of: outline)
        isVisionAlone = stage.regions?.answers == false
    }

    /// Of a forward and backward pass over a row; what is computed twice to save memory counts once.
    func operations(_ size: SampleSize) -> Double {
        guard size.samples > 0 else { return 0 }
        var row = RowShape(size, outline)
        if isVisionAlone {
            row.tokens = 0
            row.supervised = 0
            row.columns = 0
        }
        return OperationCount(row, outline, trained, isCheckpointed: false).model
    }

    /// Of passes over all rows.
    func operations(_ rows: [[ProcessedSequence]]) -> Double {
        rows.reduce(0) { sum, sequences in
            sum + operations(sequences.reduce(SampleSize()) { $0 + SampleSize($1) })
        }
    }
}
