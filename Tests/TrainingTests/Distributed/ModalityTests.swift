import Foundation
import Media
import ModelTestSupport
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

/// Ranks whose rows differ in kind must go through the same collective operations (E1 of what users of others report).
@Suite("Ranks with pictures, videos, text or nothing keep step", .inTurn)
struct ModalityTests {
    /// Text, a picture, a video, and both.
    private func mixes(_ tiny: TinyModel) throws -> [ProcessedSequence] {
        let picture = Part.image(.noise(width: 64, height: 48, seed: 1))
        let video = Part.video(
            Video(frames: (0..<4).map { .noise(width: 48, height: 32, seed: UInt64($0)) }, framesPerSecond: 2))
        return try [[], [picture], [video], [picture, video]].enumerated().map { number, parts in
            try tiny.description.processor.process(
                [Message(.user, parts + [.text("one?")]), Message(.assistant, "answer \(number)")], .training)
        }
    }

    private struct Found: Sendable {
        var loss: Double
        var gradients: [String: [Double]]
    }

    /// The gradients of each of `steps`, whose micro-batches are named by the mixes in them.
    private func gradients(
        _ group: ProcessGroup, _ kind: ShardingKind, _ steps: [[[Int]]], train: [String] = ["all"]
    ) throws -> [Found] {
        let tiny = try TinyModel(), mixes = try mixes(tiny)
        let selection = ParameterSelection(train, of: tiny.model)
        let optimizer = try Optimizer(
            tiny.model.store.parameters.filter { selection.contains($0.name) }, dtype: .float32,
            settings: AdamWOptions(rate: 1e-3), sharding: kind, ranks: group, blocks: tiny.model.store.blocks)
        try optimizer.spread()
        let step = TrainingStep(model: tiny.model, optimizer: optimizer)
        return try steps.map { microBatches in
            let report = try step.accumulate(microBatches.map { $0.map { mixes[$0] } })
            var found: [String: [Double]] = [:]
            for group in optimizer.groups {
                let whole = try group.gathered(group.gradient)
                for slot in group.slots { found[slot.parameter.name] = try whole.slice(0, slot.range).doubles() }
            }
            let norm = found.values.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(abs(report.gradientNorm - norm) < 3e-5 * norm)
            return Found(loss: report.loss, gradients: found)
        }
    }

    private func compare(_ found: [Found], _ expected: [Found], _ what: String) throws {
        #expect(found.count == expected.count)
        for (number, (found, expected)) in zip(found, expected).enumerated() {
            #expect(abs(found.loss - expected.loss) <= 1e-6 * expected.loss, "\(what), step \(number)")
            let scale = expected.gradients.values.joined().map(abs).max() ?? 0
            for (name, values) in expected.gradients {
                let other = try #require(found.gradients[name])
                #expect(largestDifference(values, other) < 1e-5 * scale, "\(what), step \(number), \(name)")
            }
        }
    }

    @Test("Every pair of kinds on two ranks, with every sharding", arguments: ShardingKind.allCases)
    func pairs(_ kind: ShardingKind) throws {
        let steps = (0..<16).map { [[$0 / 4], [$0 % 4]] }
        let whole = try #require(try onRanks(1) { try gradients($0, .none, steps) }.first)
        for found in try onRanks(2, { try gradients($0, kind, steps) }) { try compare(found, whole, "\(kind)") }
    }

    @Test("Four ranks, several rows at a time, and rows without anything", arguments: ShardingKind.allCases)
    func four(_ kind: ShardingKind) throws {
        let steps = [[[0], [1, 2], [3], [0]], [[1], [], [0], [0, 2]], [[2], [0], [], [], [0], [1], [3], [0, 0]]]
        let whole = try #require(try onRanks(1) { try gradients($0, .none, steps) }.first)
        for found in try onRanks(4, { try gradients($0, kind, steps) }) { try compare(found, whole, "\(kind)") }
        // Where the tower alone learns, text teaches nothing at all.
        let tower = try #require(try onRanks(1) { try gradients($0, .none, steps, train: ["tower"]) }.first)
        for found in try onRanks(2, { try gradients($0, kind, steps, train: ["tower"]) }) {
            try compare(found, tower, "\(kind), tower")
        }
    }
}
