public import Models
public import Torch

extension VisionLanguageModel {
    /// The sum of the negative log likelihoods of the supervised tokens of `sequences`, packed into one pass; nil where
    /// nothing is supervised.
    public func lossSum(_ sequences: [ProcessedSequence]) throws -> Tensor? {
        try supervisedLogits(sequences).map { try $0.scores.crossEntropy($0.targets, reduction: .sum) }
    }

    /// Scores (`[rows, vocabulary]`, float32) of the rows that predict a supervised token, and these tokens (`[rows]`);
    /// no scores are computed for other rows. Nil where nothing is supervised.
    func supervisedLogits(_ sequences: [ProcessedSequence]) throws -> (scores: Tensor, targets: Tensor)? {
        var rows: [Int] = [], targets: [Int] = []
        var offset = 0
        for sequence in sequences {
            for index in sequence.rows.indices.dropFirst() where sequence.rows[index].isSupervised {
                rows.append(offset + index - 1)
                targets.append(Int(sequence.rows[index].id))
            }
            offset += sequence.rows.count
        }
        if rows.isEmpty { return nil }
        let hidden = try hiddenStates(ModelInput(sequences))
        let scores = try logits(hidden.indexSelect(0, Tensor(rows).to(hidden.device))).to(.float32)
        return (scores, try Tensor(targets).to(hidden.device))
    }
}
