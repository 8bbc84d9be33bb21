public import Models
internal import NN
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
    /// - Parameters:
    ///   - rows: whose scores are computed at once; all of them where nil.
    ///   - settings: what tokens weigh and what joins their likelihoods; the sum is then over `Recipe.Loss.weight`.
    func lossSum(
        _ sequences: [ProcessedSequence], _ input: ModelInput, _ context: ForwardContext, rows: Int? = nil,
        _ settings: Recipe.Loss = .init()
    ) throws -> Tensor? {
        if decoder.configuration.experts != nil { context.routings = [] }
        guard let (hidden, targets) = try supervisedHidden(sequences, input, context) else { return nil }
        let loss = try TokenLoss(settings, sequences.map(\.learnedCount), device: hidden.device)
        let sum = try lossSum(hidden, targets, loss, rows: rows ?? targets.count)
        guard let experts = decoder.configuration.experts, let routings = context.routings, !routings.isEmpty else {
            return sum
        }
        // Layer by layer, so that each layer's experts are balanced and not their mean.
        let balances = try routings.map { try Routing.balanceLoss([$0]) }
        let balance = try Tensor.stack(balances).mean() * experts.balanceWeight
        let size = try Routing.routerLoss(routings) * experts.routerWeight
        return try sum + (balance + size) * settings.weight(sequences)
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

extension Recipe.Loss {
    /// What the supervised tokens of `sequences` weigh together.
    func weight(_ sequences: some Sequence<ProcessedSequence>) -> Double {
        weight(counts: sequences.map(\.learnedCount))
    }

    /// The same of samples with so many supervised tokens.
    func weight(counts: some Sequence<Int>) -> Double {
        counts.reduce(0) { $0 + Double($1) * weighting.weight($1) }
    }
}

extension Recipe.LossWeighting {
    /// What each of a sample's `count` supervised tokens weighs.
    func weight(_ count: Int) -> Double {
        switch self {
        case .token: 1
        case .sample: 1 / Double(max(1, count))
        case .squareRoot: 1 / Double(max(1, count)).squareRoot()
        }
    }
}

/// What each supervised token adds to the loss.
struct TokenLoss {
    /// `[rows]`, float32; nil where all weigh 1.
    private let weights: Tensor?
    private let z: Double

    /// - Parameter counts: supervised tokens of each sample, in the order of the rows.
    init(_ settings: Recipe.Loss, _ counts: [Int], device: Device) throws {
        z = settings.z
        weights =
            settings.weighting == .token
            ? nil
            : try Tensor(
                counts.flatMap { Array(repeating: Float(settings.weighting.weight($0)), count: $0) }
            ).to(device)
    }

    /// The sum over some of the rows.
    ///
    /// - Parameters:
    ///   - scores: `[rows, vocabulary]`, float32.
    ///   - range: which rows these are.
    ///   - vocabulary: what of the vocabulary the scores are of, where ranks divide it; all of it if nil.
    func sum(
        _ scores: Tensor, _ targets: Tensor, _ range: Range<Int>, of vocabulary: VocabularyPart?
    ) throws -> Tensor {
        if weights == nil, z == 0, vocabulary == nil { return try scores.crossEntropy(targets, reduction: .sum) }
        var each: Tensor
        if z > 0 || vocabulary != nil {
            // The logarithm of the softmax's denominator, kept near 0 (PaLM, section 5), serves the likelihood too.
            let (size, own) = try Self.sizes(scores, targets, vocabulary)
            each = try size - own
            if z > 0 { each = try each + size.square() * z }
        } else {
            each = try scores.crossEntropy(targets, reduction: .none)
        }
        if let weights { each = try each * weights.slice(0, range) }
        return try each.sum()
    }

    /// The logarithm of the sum of all scores' exponentials, and the target's score, `[rows]` each.
    private static func sizes(
        _ scores: Tensor, _ targets: Tensor, _ vocabulary: VocabularyPart?
    ) throws -> (size: Tensor, target: Tensor) {
        guard let vocabulary else {
            return (try scores.logSumExp([-1]), try scores.gather(1, targets.unsqueeze(1)).squeeze(1))
        }
        let (places, areOwn) = try vocabulary.places(of: targets), group = vocabulary.group
        let target = try scores.gather(1, places.unsqueeze(1)).squeeze(1) * areOwn.to(.float32)
        let size = try scores.logSumExp([-1])
        // Exponentials of what is at most 0, so that their sum is finite.
        let largest = try withoutGradient { try size.detach().clone() }
        try group.allReduce(largest, .maximum, for: "comparing scores")
        let sums = try group.summing(Tensor.stack([(size - largest).exp(), target]))
        return (try sums.select(0, 0).log() + largest, try sums.select(0, 1))
    }
}
