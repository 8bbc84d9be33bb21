import Foundation
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

/// Plans against known numbers.
@Suite struct PlanTests {
    private func recipe(_ preset: String, train: String = "all", batch: String = "", expect: String = "{}") throws
        -> Recipe
    {
        try Recipe.parse(
            """
            name: plan
            model: {preset: \(preset)}
            precision: bf16
            stages:
              - name: one
                train: [\(train)]
                steps: 10
                learning_rate: 1.0e-5
                batch: \(batch.isEmpty ? "{sequences: 64, length: 2048, packed: true}" : batch)
                expect: \(expect)
                data: [{role: any}]
            """, file: "plan.yaml", folder: URL(filePath: "/")
        ).recipe
    }

    private func options(_ devices: Int = 8, _ gpu: String = "h100") throws -> RunPlan.Options {
        RunPlan.Options(try #require(Accelerator.named(gpu)), devices: devices)
    }

    @Test func operationsOfTextAreSixTimesTheParameters() throws {
        let plan = try RunPlan(recipe("qwen2-vl-7b", expect: "{patches: 0, supervised: 2048}"), options())
        let model = try ModelOutline(Preset.named("qwen2-vl-7b").family())
        let matrices = Double(model.count(of: .decoder) + model.count(of: .head))
        let attention = 6 * 2048.0 * 2048 * 3584 * 28
        let expected = 6 * matrices * 2048 + attention
        #expect(abs(plan.stages[0].operations.model / expected - 1) < 0.001)
        #expect(plan.parameters == 8_291_375_616)
    }

    @Test func whatIsFrozenCostsLess() throws {
        func cost(_ train: String) throws -> OperationCount {
            try RunPlan(recipe("internvl2-8b", train: train, expect: "{patches: 3072}"), options()).stages[0].operations
        }
        let all = try cost("all"), projector = try cost("merger"), language = try cost("decoder, head, embedding")
        #expect(all.forward == projector.forward && all.forward == language.forward)
        // Through the frozen decoder, gradients of inputs alone; nothing through the frozen tower.
        #expect(projector.backward < 0.55 * all.backward && language.backward < all.backward)
        #expect(all.backward == 2 * all.forward || abs(all.backward / all.forward - 2) < 0.01)
    }

    @Test func expertsThatSleepAreFree() throws {
        let dense = try RunPlan(recipe("mm1-7b"), options()).stages[0]
        let experts = try RunPlan(recipe("mm1-7b-moe-32e"), options()).stages[0]
        #expect(experts.learning > 5 * dense.learning)
        #expect(experts.operations.model < 1.5 * dense.operations.model)
    }

    @Test func whatIsOffloadedLeavesTheDevice() throws {
        let plain = try RunPlan(recipe("qwen2-vl-2b"), options(1)).stages[0].memory
        var loaded = try recipe("qwen2-vl-2b")
        loaded.stages[0].memory.offload = .optimizer
        let offloaded = try RunPlan(loaded, options(1)).stages[0].memory
        #expect(plain.host == 0 && plain.optimizer > 0 && plain.gradients > 0)
        #expect(offloaded.optimizer == 0 && offloaded.gradients == 0 && offloaded.weights == plain.weights)
        #expect(offloaded.host == plain.optimizer + plain.gradients && offloaded.total < plain.total)
        loaded.stages[0].memory.offload = .parameters
        let stage = try RunPlan(loaded, options(1)).stages[0], away = stage.memory
        #expect(stage.sharding.isCheckpointed && away.areBlocksAway && !offloaded.areBlocksAway)
        let blocks = plain.weights - away.weights
        #expect(blocks > 0.5 * plain.weights && abs(away.host - offloaded.host - blocks) < 1)
        #expect(away.optimizer == 0 && away.total < offloaded.total)
        // Several devices share what each brings to its own.
        let shared = try RunPlan(loaded, options(8)).stages[0]
        #expect(shared.sharding.kind == .full && abs(shared.memory.host - away.host / 8) < 1)
    }

    @Test func shardingSharesWhatItShould() throws {
        let model = try ModelOutline(Preset.named("qwen2-vl-7b").family())
        let loaded = try recipe("qwen2-vl-7b"), stage = loaded.stages[0]
        let trained = TrainedShare(["all"], of: model), row = RowShape(stage, model)
        func memory(_ kind: ShardingKind, tensor: Int = 1, checkpointed: Bool = false) -> MemoryPlan {
            var sharding = Sharding(devices: 8)
            (sharding.kind, sharding.tensorParallel, sharding.isCheckpointed) = (kind, tensor, checkpointed)
            return MemoryPlan(row, model, trained, precision: .bf16, sharding: sharding, isFused: false)
        }
        let plain = memory(.none), count = Double(model.count)
        #expect(plain.weights == 2 * count && plain.gradients == 4 * count && plain.optimizer == 12 * count)
        #expect(memory(.optimizer).optimizer == plain.optimizer / 8 && memory(.optimizer).gradients == plain.gradients)
        #expect(memory(.gradients).gradients == plain.gradients / 8 && memory(.gradients).weights == plain.weights)
        #expect(memory(.full).weights == plain.weights / 8)
        #expect(memory(.none, tensor: 8).weights == plain.weights / 8)
        #expect(memory(.none, checkpointed: true).activations < plain.activations / 5)
        #expect(memory(.full).total < memory(.gradients).total && memory(.gradients).total < memory(.optimizer).total)
    }

    @Test func aPlanThatDoesNotFitSaysWhatWould() throws {
        let stage = try RunPlan(recipe("qwen2-vl-72b"), options(16, "a100-40")).stages[0]
        #expect(!stage.fits)
        #expect(try RunPlan(recipe("qwen2-vl-72b"), options(512, "h200")).stages[0].fits)
    }

    @Test func timeFollowsFromOperations() throws {
        var slow = try options()
        slow.utilisation = 0.2
        let recipe = try recipe("qwen2-vl-2b")
        let one = try RunPlan(recipe, options()), two = try RunPlan(recipe, slow)
        #expect(abs(two.days / one.days - 2) < 1e-9)
        // 64 rows on 48 devices take as long as on 32.
        let stages = try [32, 48, 64].map { try RunPlan(recipe, options($0)).stages[0].secondsPerStep }
        #expect(abs(stages[0] / stages[1] - 1) < 1e-9 && abs(stages[0] / stages[2] - 2) < 1e-9)
    }

    @Test func publishedSpeedsAreWithinReach() throws {
        let url = PublishedRecipeTests.folder
        for (path, model) in [
            ("nvlm/nvlm-d.yaml", "nvlm-d-34b"), ("nvlm/nvlm-x.yaml", "nvlm-x-34b"), ("nvlm/nvlm-h.yaml", "nvlm-h-34b"),
        ] {
            let recipe = try Recipe.load(url.appending(path: path), overrides: ["model.preset=\(model)"]).recipe
            let published = try #require(RunPlan(recipe, options(128)).stages[1].published)
            // Nobody reaches the peak, and a mistake of a factor of ten would show.
            #expect((0.08...0.6).contains(published.impliedUtilisation), "\(published)")
        }
        for size in ["b-32", "b-16", "l-16"] {
            let recipe = try Recipe.load(url.appending(path: "navit/navit-\(size).yaml")).recipe
            let published = try #require(RunPlan(recipe, options(64, "tpu-v4")).stages[0].published)
            #expect((0.1...0.6).contains(published.impliedUtilisation), "\(published)")
        }
        let other = try Recipe.load(url.appending(path: "nvlm/nvlm-d.yaml")).recipe
        #expect(try RunPlan(other, options(128)).stages[1].published == nil, "a speed of another size")
    }
}
