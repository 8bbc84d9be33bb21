import Foundation
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("What ranks share equals what one holds", .inTurn)
struct ShardingTests {
    private func recipe(
        _ folder: TemporaryFolder, _ kind: ShardingKind, _ overrides: [String] = []
    ) throws -> Recipe.Loaded {
        try rankRecipe(folder, steps: (2, 2), ["sharding.kind=\(kind.rawValue)"] + overrides)
    }

    private func tensors(_ folder: TemporaryFolder) throws -> [String: [Double]] { try checkpointTensors(folder, 4) }

    @Test(
        "Losses, weights and moments after four steps of two stages",
        arguments: [(ShardingKind.optimizer, 4), (.gradients, 2), (.gradients, 4), (.full, 2), (.full, 4)])
    func runs(_ kind: ShardingKind, _ ranks: Int) throws {
        let whole = try TemporaryFolder(), shared = try TemporaryFolder()
        let expected = try #require(try train(recipe(whole, .none), ranks: ranks).first)
        let found = try #require(try train(recipe(shared, kind), ranks: ranks).first)
        #expect(found.losses.count == 4)
        for (a, b) in zip(found.losses, expected.losses) { #expect(abs(a - b) <= 1e-6 * abs(b)) }
        // A norm is added up in float32, over all values at once or over shares.
        for (a, b) in zip(found.norms, expected.norms) { #expect(abs(a - b) <= 1e-4 * abs(b)) }
        #expect(abs(found.evaluations[0] - expected.evaluations[0]) <= 1e-6 * expected.evaluations[0])
        // The same names and shapes in the same files, and the same values.
        let a = try tensors(shared), b = try tensors(whole)
        #expect(Set(a.keys) == Set(b.keys))
        for (name, values) in b {
            let other = try #require(a[name])
            #expect(other.count == values.count, "\(name)")
            if name.hasPrefix("model.") { #expect(largestDifference(values, other) < 1e-6, "\(name)") }
        }
    }

    @Test("One step from the same weights", arguments: [ShardingKind.optimizer, .gradients, .full])
    func oneStep(_ kind: ShardingKind) throws {
        @Sendable func weights(_ group: ProcessGroup, _ kind: ShardingKind) throws -> [String: [Double]] {
            let tiny = try TinyModel()
            let optimizer = try Optimizer(
                tiny.model.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 0.1, epsilon: 0.1),
                sharding: kind, ranks: group, blocks: tiny.model.store.blocks)
            try optimizer.spread()
            let step = TrainingStep(model: tiny.model, optimizer: optimizer)
            _ = try step(tiny.sequences(0..<4).map { [$0] }, rate: 0.1, clip: nil)
            let masters = try optimizer.release()
            return try masters.mapValues { try $0.doubles() }
        }
        let whole = try onRanks(2) { try weights($0, .none) }
        let shared = try onRanks(2) { try weights($0, kind) }
        // What was computed once, and rounded once.
        #expect(shared[0] == shared[1])
        for (name, values) in whole[0] {
            #expect(largestDifference(values, try #require(shared[0][name])) < 1e-6, "\(name)")
        }
    }

    @Test("A run goes on with another sharding, precision bf16 and moments of 8 bits included")
    func goesOn() throws {
        let folder = try TemporaryFolder()
        let first = try train(recipe(folder, .optimizer), ranks: 2, stop: 1)
        let second = try train(recipe(folder, .full), ranks: 4, resume: true, stop: 2)
        let third = try train(recipe(folder, .gradients), ranks: 2, resume: true, stop: 3)
        let fourth = try train(recipe(folder, .none), ranks: 1, resume: true)
        let whole = try TemporaryFolder()
        let straight = try #require(try train(recipe(whole, .none), ranks: 1).first)
        let losses = first[0].losses + second[0].losses + third[0].losses + fourth[0].losses
        #expect(losses.count == 4)
        for (a, b) in zip(losses, straight.losses) { #expect(abs(a - b) <= 1e-5) }

        let small = [
            "precision=bf16", "stages.first.memory={moment_bits: 8}", "stages.second.memory={moment_bits: 8}",
        ]
        let shared = try TemporaryFolder(), parts = try TemporaryFolder()
        _ = try train(recipe(shared, .optimizer, small), ranks: 2)
        _ = try train(recipe(parts, .optimizer, small), ranks: 2, stop: 3)
        _ = try train(recipe(parts, .full, small), ranks: 2, resume: true)
        #expect(try tensors(shared) == tensors(parts))
    }

    /// Blocks of 8-bit moments are of one parameter each, so that it does not matter who holds which.
    @Test("With moments of 8 bits sharding changes nothing", arguments: [(ShardingKind.gradients, 2), (.full, 4)])
    func smallMoments(_ kind: ShardingKind, _ ranks: Int) throws {
        let small = ["stages.first.memory={moment_bits: 8}", "stages.second.memory={moment_bits: 8}"]
        let one = try TemporaryFolder(), several = try TemporaryFolder()
        let alone = try #require(try train(recipe(one, .none, small), ranks: 1).first)
        let shared = try train(recipe(several, kind, small), ranks: ranks)
        #expect(alone.losses.count == shared[0].losses.count)
        for (a, b) in zip(shared[0].losses, alone.losses) { #expect(abs(a - b) <= 1e-5 * b) }
        #expect(try tensors(one).mapValues(\.count) == tensors(several).mapValues(\.count))
    }

    @Test("In bf16, sharding resumes to the same bits", arguments: [ShardingKind.gradients, .full])
    func exactResume(_ kind: ShardingKind) throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        _ = try train(recipe(whole, kind, ["precision=bf16"]), ranks: 2)
        _ = try train(recipe(parts, kind, ["precision=bf16"]), ranks: 2, stop: 3)
        _ = try train(recipe(parts, kind, ["precision=bf16"]), ranks: 2, resume: true)
        #expect(try tensors(whole) == tensors(parts))
    }

    @Test("A rank holds its share of weights, gradients and moments", arguments: [ShardingKind.gradients, .full])
    func memory(_ kind: ShardingKind) throws {
        let counts = try onRanks(4) { group -> [Int] in
            let tiny = try TinyModel()
            let optimizer = try Optimizer(
                tiny.model.store.parameters, dtype: .bfloat16, settings: AdamWOptions(rate: 1e-3), sharding: kind,
                ranks: group, blocks: tiny.model.store.blocks)
            try optimizer.spread()
            let held = tiny.model.store.blocks.joined().filter { $0.tensor.device != .meta }
            return [
                held.count, optimizer.groups.reduce(0) { $0 + $1.master.count },
                optimizer.groups.reduce(0) { $0 + $1.gradient.count }, optimizer.groups.reduce(0) { $0 + $1.count },
                optimizer.groups.reduce(0) { $0 + ($1.collected?.count ?? 0) },
            ]
        }
        for count in counts {
            #expect((count[0] == 0) == (kind == .full))
            #expect(count[1] * 4 == count[3] && count[2] * 4 == count[3] && count[4] == 0)
        }
    }

    @Test("Gradients leave during the pass, and weights of the next block come ahead of it")
    func overlap() throws {
        @Sendable func counts(_ group: ProcessGroup, _ kind: ShardingKind) throws -> [Int] {
            let tiny = try TinyModel()
            let optimizer = try Optimizer(
                tiny.model.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 1e-3), sharding: kind,
                ranks: group, blocks: tiny.model.store.blocks)
            try optimizer.spread()
            let step = TrainingStep(model: tiny.model, optimizer: optimizer)
            let sequences = try tiny.sequences(0..<4)
            for _ in 0..<3 { _ = try step(sequences.map { [$0] }, rate: 1e-3, clip: 1) }
            let sent = try #require(optimizer.stream).sent, turns = optimizer.spreadOrder.turns
            return [sent.all, sent.early, turns.all, turns.ahead]
        }
        let blocks = try TinyModel().model.store.blocks.count
        for count in try onRanks(2, { try counts($0, .gradients) }) {
            // A bucket for each block and some for the rest, two rows a step, three steps.
            #expect(count[0] > blocks * 6 && count[1] == count[0], "\(count[1]) of \(count[0])")
        }
        for count in try onRanks(2, { try counts($0, .full) }) {
            // Forward and backward of two rows in three steps; the first step learns the order.
            #expect(count[2] == blocks * 2 * 6)
            #expect(count[3] >= blocks * 2 * 4, "\(count[3]) of \(count[2])")
        }
    }

    @Test("What full sharding does not do is refused with its key")
    func refusals() throws {
        let folder = try TemporaryFolder()
        for (override, key) in [
            ("threads=2", "threads:"), ("stages.first.regions={weight: 1}", "stages.first.regions"),
        ] {
            let error = try #require(throws: TrainingError.self) {
                try train(recipe(folder, .full, [override]), ranks: 2)
            }
            #expect("\(error)".contains(key), "\(error)")
        }
        let unknown = try #require(throws: RecipeError.self) { try recipe(folder, .none, ["sharding.kind=most"]) }
        #expect("\(unknown)".contains("sharding.kind"), "\(unknown)")
        #expect(folder.names.isEmpty)
    }

    @Test("A run that was stopped or failed leaves neither models nor connections", arguments: ShardingKind.allCases)
    func leavesNothing(_ kind: ShardingKind) throws {
        struct Failure: Error {}
        final class Left: @unchecked Sendable {
            weak var model: Parameter?
            weak var group: ProcessGroup?
        }
        let folder = try TemporaryFolder()
        for fails in [false, true] {
            let loaded = try recipe(folder, kind)
            let left = try onRanks(2) { group in
                let left = Left()
                let trainer = try Trainer(loaded, resume: fails, observer: Recorder(), group: group)
                (left.model, left.group) = (trainer.model.store.parameters.first, group)
                if fails {
                    trainer.willStep = { if $0 == 2 { throw Failure() } }
                    #expect(throws: Failure.self) { try trainer.run() }
                } else {
                    trainer.shouldStop = { $0 == 1 }
                    _ = try trainer.run()
                }
                #expect(trainer.step == (fails ? 2 : 1))
                return left
            }
            // A thread's last references go when it ends, which is a little after it told what it found.
            let end = ContinuousClock.now + .seconds(20)
            while left.contains(where: { $0.model != nil || $0.group != nil }), ContinuousClock.now < end {
                Thread.sleep(forTimeInterval: 0.01)
            }
            for (rank, left) in left.enumerated() {
                #expect(left.model == nil && left.group == nil, "rank \(rank), fails: \(fails)")
            }
        }
    }
}
