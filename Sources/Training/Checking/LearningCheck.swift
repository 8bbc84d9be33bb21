internal import Foundation
internal import Models
internal import NN
internal import Torch

/// What one batch tells about a stage before anything learns: whether there is something to learn, whether gradients
/// reach all that shall learn, and whether the model looks at its pictures.
public struct LearningCheck: Sendable, Codable {
    public var samples: Int
    public var tokens: Int
    /// Of the tokens, places of pictures.
    public var places: Int
    public var supervised: Int
    public var patches: Int
    public var pictures: Int
    /// Mean over the supervised tokens of the batch.
    public var loss: Double
    /// Of the first row with pictures, and of the same row with noise in their place; nil where there are none.
    public var lossWithPictures: Double?
    public var lossWithNoise: Double?
    /// Parameters that learn and whose gradient is nothing at all.
    public var unreached: [String]
    /// Whether there are such parameters, and all of them are of the vision part.
    public var reachesAllButVision: Bool
    /// Whether nothing comes through cross-attention yet because its gates are closed, as they are at the start.
    public var hasClosedGates: Bool
    public var seconds: Double

    /// Of the text: a large picture beside a short answer is no mistake.
    public var supervisedShare: Double { Double(supervised) / Double(max(1, tokens - places)) }

    /// Reasons for not starting.
    ///
    /// - Parameter minSupervised: the least share of tokens to learn from.
    public func problems(minSupervised: Double) -> [String] {
        var problems: [String] = []
        if samples == 0 { problems.append("no sample can be used") }
        if samples > 0, supervised == 0 {
            problems.append("no token of the first batch is supervised: there is no answer")
        }
        if supervised > 0, supervisedShare < minSupervised {
            problems.append(
                "only \(supervised) of \(tokens - places) tokens of text are supervised, less than min_supervised (\(minSupervised))"
            )
        }
        if supervised > 0, !loss.isFinite { problems.append("the loss is \(loss) before anything was learned") }
        if !unreached.isEmpty, supervised > 0, loss.isFinite {
            let more = unreached.count > 5 ? " and \(unreached.count - 5) more" : ""
            problems.append(
                "no gradient reaches \(unreached.prefix(5).joined(separator: ", "))\(more): freeze them, or give data "
                    + "that uses them")
        }
        if let lossWithPictures, let lossWithNoise, lossWithPictures == lossWithNoise, !hasClosedGates {
            problems.append("noise in place of the pictures leaves the loss as it is: the model does not see them")
        }
        return problems
    }
}

extension StageRunner {
    /// Looks at a batch without changing anything.
    func check(_ batch: BatchPacker.Step) throws -> LearningCheck {
        let rows = batch.microBatches.map { $0.compactMap(\.sequence) }
        let clock = ContinuousClock.now
        let report = try gradients(of: batch.microBatches)
        let seconds = (ContinuousClock.now - clock).seconds
        let names = report.supervisedTokens > 0 ? try optimizer.unreached() : []
        let gates = try optimizer.gateGradients()
        let isClosed = gates.isClosed
        var check = LearningCheck(
            samples: report.samples, tokens: report.tokens,
            places: rows.joined().reduce(0) { $0 + $1.imageTokenCount }, supervised: report.supervisedTokens,
            patches: report.patches, pictures: report.pictures, loss: report.loss, unreached: [],
            reachesAllButVision: false, hasClosedGates: isClosed, seconds: seconds)
        // A closed gate lets no gradient through to what lies behind it, and opens with the first step if it gets one.
        // Experts that no token of a small batch chose are no mistake either.
        check.unreached = names.filter { name in
            let part = model.part(name)
            let isBehindGate = [.crossAttention, .connector, .visionTower].contains(part)
            // No gradient passes a new adapter's `up`, which is zero, to its `down`.
            return !(isClosed && gates.haveGradients && isBehindGate) && !name.contains(".experts.")
                && !name.hasSuffix(LowRankAdapters.downSuffix)
        }
        check.reachesAllButVision =
            !check.unreached.isEmpty
            && check.unreached.allSatisfy { [.crossAttention, .connector, .visionTower].contains(model.part($0)) }
        if let row = rows.first(where: { $0.contains { !$0.items.isEmpty && $0.learnedCount > 0 } }) {
            let count = Double(max(1, row.reduce(0) { $0 + $1.learnedCount }))
            let noise = try RandomGenerator(seed: 1)
            let blind = try row.map { sequence in
                var sequence = sequence
                for index in sequence.items.indices {
                    sequence.items[index].pixels = try noise.normal(sequence.items[index].pixels.shape)
                }
                return sequence
            }
            try withoutGradient {
                check.lossWithPictures = try model.lossSum(row, memory: stage.memory).map { try $0.item() / count }
                check.lossWithNoise = try model.lossSum(blind, memory: stage.memory).map { try $0.item() / count }
            }
        }
        return check
    }
}

extension Optimizer {
    var names: [String] { groups.flatMap { $0.slots.map(\.parameter.name) } }

    /// Whether all gates of cross-attention are closed, and whether they have gradients to open by.
    func gateGradients() throws -> (isClosed: Bool, haveGradients: Bool) {
        func isGate(_ parameter: Parameter) -> Bool { parameter.name.hasSuffix("cross_attn.gate") }
        // Not of the model's own tensors, which are nowhere whole where blocks are spread.
        let gates = try largest(\.master, where: isGate)
        guard !gates.isEmpty else { return (false, false) }
        return (gates.allSatisfy { $0.value == 0 }, try largest(\.gradient, where: isGate).contains { $0.value > 0 })
    }
}
