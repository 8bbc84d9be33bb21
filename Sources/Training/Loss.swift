public import Models
public import Torch

extension VisionLanguageModel {
    /// The sum of the negative log likelihoods of the supervised tokens of `sequences`, packed into one pass; nil where
    /// nothing is supervised. Where the decoder has experts, the losses of their routers are added, times the number of
    /// these tokens.
    public func lossSum(_ sequences: [ProcessedSequence], memory: Recipe.Memory = .init()) throws -> Tensor? {
        try lossSum(sequences, ModelInput(sequences), ForwardContext(memory), rows: memory.lossRows)
    }

    /// The same in a pass that others look into.
    ///
    /// - Parameter rows: whose scores are computed at once; all of them where nil.
    func lossSum(
        _ sequences: [ProcessedSequence], _ input: ModelInput, _ context: ForwardContext, rows: Int? = nil
    ) throws -> Tensor? {
        if decoder.configuration.experts != nil { context.routings = [] }
        guard let (hidden, targets) = try supervisedHidden(sequences, input, context) else { return nil }
        let sum = try crossEntropySum(hidden, targets, rows: rows ?? targets.count)
        guard let experts = decoder.configuration.experts, let routings = context.routings, !routings.isEmpty else {
            return sum
        }
        // Layer by layer, so that each layer's experts are balanced and not their mean.
        let balances = try routings.map { try Routing.balanceLoss([$0]) }
        let balance = try Tensor.stack(balances).mean() * experts.balanceWeight
        let size = try Routing.routerLoss(routings) * experts.routerWeight
        return try sum + (balance + size) * Double(targets.size(0))
    }

    /// Scores (`[rows, vocabulary]`, float32) of the rows that predict a supervised token, and these tokens (`[rows]`);
    /// no scores are computed for other rows. Nil where nothing is supervised.
    func supervisedLogits(
        _ sequences: [ProcessedSequence], _ input: ModelInput? = nil, _ context: ForwardContext = ForwardContext()
    ) throws -> (scores: Tensor, targets: Tensor)? {
        try supervisedHidden(sequences, input, context).map { (try logits($0.hidden).to(.float32), $0.targets) }
    }

    /// Hidden states (`[rows, hidden]`) of the rows that predict a supervised token, and these tokens (`[rows]`); nil
    /// where nothing is supervised.
    private func supervisedHidden(
        _ sequences: [ProcessedSequence], _ input: ModelInput?, _ context: ForwardContext
    ) throws -> (hidden: Tensor, targets: Tensor)? {
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
        let hidden = try hiddenStates(input ?? ModelInput(sequences), context)
        return (
            try hidden.indexSelect(0, Tensor(rows).to(hidden.device)), try Tensor(targets).to(hidden.device)
        )
    }
}

extension ForwardContext {
    /// A training pass that saves memory.
    convenience init(_ memory: Recipe.Memory) {
        self.init()
        recomputed = Set(memory.recomputed)
    }
}
