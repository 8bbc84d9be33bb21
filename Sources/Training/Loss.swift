public import Models
public import Torch

extension VisionLanguageModel {
    /// The sum of the negative log likelihoods of the supervised tokens of `sequences`, packed into one pass; nil where
    /// nothing is supervised. Scores are computed for the rows that predict a supervised token only.
    public func lossSum(_ sequences: [ProcessedSequence]) throws -> Tensor? {
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
        let input = try ModelInput(sequences)
        let hidden = try hiddenStates(input)
        let scores = try logits(hidden.indexSelect(0, Tensor(rows).to(hidden.device))).to(.float32)
        return try scores.crossEntropy(Tensor(targets).to(hidden.device), reduction: .sum)
    }
}
