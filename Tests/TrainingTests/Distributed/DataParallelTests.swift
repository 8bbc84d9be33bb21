import Foundation
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("Several ranks train as one", .inTurn)
struct DataParallelTests {
    @Test("Ranks 1, 2, 4 and accumulation 1, 2, 4 give the same gradients")
    func gradients() throws {
        let sequences = try TinyModel().sequences(0..<16)
        @Sendable func gradients(_ group: ProcessGroup, _ parts: Int) throws -> (Double, [String: [Double]]) {
            let tiny = try TinyModel()
            let optimizer = try tiny.optimizer(ranks: group)
            let step = TrainingStep(model: tiny.model, optimizer: optimizer)
            let size = sequences.count / parts
            let report = try step.accumulate((0..<parts).map { Array(sequences[$0 * size..<($0 + 1) * size]) })
            return (report.loss, try optimizer.gradients())
        }
        let (loss, whole) = try #require(try onRanks(1) { try gradients($0, 1) }.first)
        let scale = whole.values.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
        for (ranks, accumulation) in [(1, 2), (1, 4), (2, 1), (2, 2), (2, 4), (4, 1), (4, 2), (4, 4)] {
            let found = try onRanks(ranks) { try gradients($0, ranks * accumulation) }
            for (otherLoss, other) in found {
                #expect(abs(otherLoss - loss) < 1e-6 * loss)
                // Ranks hold the same bits.
                #expect(other == found[0].1)
            }
            var difference = 0.0
            for (name, gradient) in whole {
                for (a, b) in zip(gradient, try #require(found[0].1[name])) { difference += (a - b) * (a - b) }
            }
            #expect(difference.squareRoot() < 1e-6 * scale, "\(ranks) ranks, accumulation \(accumulation)")
        }
    }

    /// Both stages in float32, with four micro-batches a step, and a checkpoint after every step.
    private func recipe(_ folder: TemporaryFolder, _ overrides: [String] = []) throws -> Recipe.Loaded {
        try tinyRecipe(
            folder,
            [
                "precision=f32", "keep=20", "stages.first.steps=3", "stages.second.steps=2",
                "stages.first.batch={tokens: 900, max_samples: 1, accumulation: 4, look_ahead: 5}",
                "stages.second.batch={tokens: 900, max_samples: 1, accumulation: 4}",
                "stages.first.checkpoint_every=1", "stages.second.checkpoint_every=1",
                "stages.first.skip_spikes=6",
                "held_out={samples: 4, data: [{synthetic: {seed: 9, sides: [112, 140], difficulty: 0}}]}",
                "stages.second.evaluate_every=2",
            ] + overrides)
    }

    private func cursor(_ folder: TemporaryFolder, _ step: Int) throws -> DataCursor {
        let file = folder.url.appending(path: "run/\(CheckpointStore.name(step))/training/state.json")
        return try JSONDecoder().decode(TrainingState.self, from: Data(contentsOf: file)).cursor
    }

    @Test("C4: a run that goes from 1 to 2 to 4 ranks and back takes the same samples to the same losses")
    func elastic() throws {
        let alone = try TemporaryFolder(), parts = try TemporaryFolder()
        let steps = ["stages.first.steps=12", "stages.second.steps=8", "stages.second.evaluate_every=8"]
        let reference = try #require(try train(recipe(alone, steps), ranks: 1).first)
        #expect(reference.steps == 20 && reference.evaluations.count == 1)
        var losses: [Double] = [], samples: [[[String]]] = []
        for (ranks, stop) in [(2, 3), (4, 8), (1, 11), (4, 14), (2, nil)] {
            let runs = try train(recipe(parts, steps), ranks: ranks, resume: !losses.isEmpty, stop: stop)
            losses += runs[0].losses
            samples += runs[0].samples
            for run in runs {
                // One rank was asked to stop, and all did after the same step.
                #expect(run.steps == stop ?? 20)
                #expect(run.samples == runs[0].samples)
                if stop != nil, case .finished = run.outcome { Issue.record("\(run.outcome)") }
            }
            // One of them speaks.
            #expect(runs.dropFirst().allSatisfy { $0.losses.isEmpty })
            if stop == nil { #expect(abs(runs[0].evaluations[0] - reference.evaluations[0]) <= 1e-5) }
        }
        #expect(losses.count == 20)
        let worst = zip(losses, reference.losses).map { abs($0 - $1) }.max() ?? 1
        #expect(worst <= 1e-5)
        #expect(samples == reference.samples)
        for step in 1...20 { #expect(try cursor(parts, step) == cursor(alone, step), "step \(step)") }
        print(
            "C4: \(losses.count) steps on 2, 4, 1, 4 and 2 ranks, \(samples.joined().joined().count) samples, the same in "
                + "each step: \(zip(samples, reference.samples).count { $0 == $1 }) of 20; losses within \(worst)")
    }

    @Test("After 20 steps any number of ranks and any sharding has the same losses and weights")
    func twentySteps() throws {
        let whole = try TemporaryFolder()
        let expected = try #require(try train(rankRecipe(whole, steps: (12, 8)), ranks: 1).first)
        let weights = try checkpointTensors(whole, 20)
        for kind in ShardingKind.allCases {
            for ranks in [2, 4] {
                let folder = try TemporaryFolder()
                let runs = try train(
                    rankRecipe(folder, steps: (12, 8), ["sharding.kind=\(kind.rawValue)"]), ranks: ranks)
                let found = try #require(runs.first)
                #expect(found.losses.count == 20)
                for (a, b) in zip(found.losses, expected.losses) { #expect(abs(a - b) <= 1e-5, "\(kind) \(ranks)") }
                #expect(found.samples == expected.samples)
                #expect(found.imbalances.allSatisfy { $0.map { $0 >= 0 && $0 < 1 } ?? false })
                let tensors = try checkpointTensors(folder, 20)
                #expect(Set(tensors.keys) == Set(weights.keys))
                for (name, values) in weights where name.hasPrefix("model.") {
                    #expect(largestDifference(values, try #require(tensors[name])) < 2e-5, "\(kind) \(ranks) \(name)")
                }
            }
        }
    }

    @Test("A resumed run of two ranks equals one that was not stopped, bit for bit")
    func exactResume() throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        _ = try train(recipe(whole), ranks: 2)
        _ = try train(recipe(parts), ranks: 2, stop: 2)
        _ = try train(recipe(parts), ranks: 2, resume: true)
        for name in ["model.safetensors", "training/optimizer.safetensors"] {
            func bytes(_ folder: TemporaryFolder) throws -> Data {
                try Data(contentsOf: folder.url.appending(path: "run/\(CheckpointStore.name(5))/\(name)"))
            }
            #expect(try bytes(whole) == bytes(parts), "\(name)")
        }
    }

    @Test("Micro-batches that cannot be dealt out evenly are refused before anything is written")
    func uneven() throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: TrainingError.self) { try train(recipe(folder), ranks: 3) }
        #expect("\(error)".contains("make it a multiple of 3"), "\(error)")
        #expect(folder.names.isEmpty)
    }

    @Test(
        "A row that does not fit into one rank's memory is computed in halves there, with the same gradients",
        arguments: [ShardingKind.none, .gradients])
    func halvedOnOneRank(_ kind: ShardingKind) throws {
        @Sendable func gradients(_ group: ProcessGroup, fitting limit: Int?) throws -> (Int, [String: [Double]]) {
            let tiny = try TinyModel()
            let optimizer = try Optimizer(
                tiny.model.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 1e-3), sharding: kind,
                ranks: group, blocks: tiny.model.store.blocks)
            let step = TrainingStep(model: tiny.model, optimizer: optimizer)
            let sequences = try tiny.sequences(0..<6), rank = group.rank
            let report = try TrainingStep.$beforePass.withValue({ sequences in
                guard rank == 1, let limit, sequences.count > limit else { return }
                throw TorchError(kind: .outOfMemory, operation: "matmul", message: "no memory for a row")
            }) { try step.accumulate([Array(sequences[..<3]), Array(sequences[3...])]) }
            var found: [String: [Double]] = [:]
            for group in optimizer.groups {
                let whole = try group.gathered(group.gradient)
                for slot in group.slots { found[slot.parameter.name] = try whole.slice(0, slot.range).doubles() }
            }
            return (report.halvedRows, found)
        }
        let whole = try onRanks(2) { try gradients($0, fitting: nil) }
        let parts = try onRanks(2) { try gradients($0, fitting: 1) }
        #expect(parts.map(\.0) == [0, 2] && whole.map(\.0) == [0, 0])
        let scale = whole[0].1.values.joined().map(abs).max() ?? 0
        for (name, values) in whole[0].1 {
            #expect(largestDifference(values, try #require(parts[0].1[name])) < 1e-5 * scale, "\(name)")
            #expect(parts[0].1[name] == parts[1].1[name], "\(name)")
        }
    }

    @Test("A loss that is not finite on one rank is skipped by all")
    func notFinite() throws {
        let found = try onRanks(2) { group -> [Bool] in
            let tiny = try TinyModel()
            let step = TrainingStep(model: tiny.model, optimizer: try tiny.optimizer(ranks: group))
            var sequences = try tiny.sequences(0..<2)
            if group.rank == 1 {
                for index in sequences[1].items.indices {
                    sequences[1].items[index].pixels = try .full(sequences[1].items[index].pixels.shape, .infinity)
                }
            }
            let before = try tiny.values()
            let report = try step(sequences.map { [$0] }, rate: 1e-3, clip: 1)
            return [report.isApplied, try tiny.values() == before]
        }
        #expect(found == [[false, true], [false, true]])
    }
}
