import Foundation
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

/// Ranks that divide the model itself.
@Suite("Divided matrices and experts learn as whole ones", .serialized, .inTurn)
struct ParallelTests {
    /// Heads that four ranks can divide.
    static let dense = """
        model={random: \(TinyModel.folder.path), config: {hidden_size: 64, intermediate_size: 96, num_attention_heads: 8, \
        num_key_value_heads: 4, rope_scaling: {type: mrope, mrope_section: [1, 1, 2]}, vision_config: {hidden_size: 64}}}
        """
    /// MM1's kind of decoder: four experts, of which each token takes two.
    static let experts = """
        model={random: \(Fixtures.goldens.path)/internvl2_yi_small, config: {llm_config: {architectures: \
        [MixtralForCausalLM], model_type: mixtral, hidden_size: 32, intermediate_size: 48, num_attention_heads: 4, \
        num_key_value_heads: 2, num_local_experts: 4, num_experts_per_tok: 2, router_aux_loss_coef: 0.02, \
        router_z_loss_coef: 0.001}, vision_config: {qk_normalization: false}}}
        """

    private func recipe(
        _ folder: TemporaryFolder, optimizer: Recipe.OptimizerKind = .adamw, _ overrides: [String]
    ) throws -> Recipe.Loaded {
        try rankRecipe(folder, steps: (12, 8), optimizer: optimizer, overrides)
    }

    /// - Parameters:
    ///   - more: replacements for all runs, that of one process included.
    ///   - shared: those for several ranks.
    ///   - looseness: how many times further off than AdamW's float32 steps losses and norms may be.
    ///   - apart: how far weights may be.
    /// - Returns: the tensors of the one process.
    @discardableResult
    private func compare(
        _ model: String, _ cases: [(parallel: String, sharding: ShardingKind, ranks: Int)], more: [String] = [],
        shared: [String] = [], optimizer: Recipe.OptimizerKind = .adamw, looseness: Double = 1,
        apart: Double = 2e-5
    ) throws -> [String: [Double]] {
        let whole = try TemporaryFolder()
        let expected = try #require(try train(recipe(whole, optimizer: optimizer, [model] + more), ranks: 1).first)
        let tensors = try checkpointTensors(whole, 20)
        #expect(expected.losses.count == 20 && expected.losses[19] < expected.losses[0])
        for (parallel, sharding, ranks) in cases {
            let folder = try TemporaryFolder(), what = "\(parallel), \(sharding), \(ranks) ranks"
            let found = try #require(
                try train(
                    recipe(
                        folder, optimizer: optimizer,
                        [model, "parallel=\(parallel)", "sharding.kind=\(sharding.rawValue)"] + more + shared),
                    ranks: ranks
                ).first)
            #expect(found.losses.count == 20, "\(what)")
            for (a, b) in zip(found.losses, expected.losses) { #expect(abs(a - b) <= 1e-5 * looseness * b, "\(what)") }
            for (a, b) in zip(found.norms, expected.norms) { #expect(abs(a - b) <= 1e-4 * looseness * b, "\(what)") }
            #expect(abs(found.evaluations[0] - expected.evaluations[0]) <= 1e-5 * looseness, "\(what)")
            // The same names and shapes in the same files, and the same values.
            let other = try checkpointTensors(folder, 20)
            #expect(Set(other.keys) == Set(tensors.keys), "\(what)")
            for (name, values) in tensors {
                let found = try #require(other[name])
                #expect(found.count == values.count, "\(what) \(name)")
                if !name.hasPrefix("training/") {
                    #expect(largestDifference(values, found) < apart, "\(what) \(name)")
                }
            }
        }
        return tensors
    }

    @Test("Matrices of tower and decoder on 2 and 4 ranks, alone and with micro-batches and shares dealt out, 20 steps")
    func tensor() throws {
        try compare(
            Self.dense,
            [
                ("{tensor: 2}", .none, 2), ("{tensor: 4}", .none, 4), ("{tensor: 2}", .none, 4),
                ("{tensor: 2}", .optimizer, 4), ("{tensor: 2}", .gradients, 4), ("{tensor: 2}", .full, 4),
            ])
    }

    @Test("A divided vocabulary, scored a few rows at a time, with weights and the z-loss, 20 steps")
    func vocabulary() throws {
        let loss = ["first", "second"].map { "stages.\($0).loss={weighting: sample, z: 1.0e-3}" }
        let pieces = ["first", "second"].map { "stages.\($0).memory={loss_rows: 5}" }
        func model(isTied: Bool) -> String {
            Self.dense.replacing(
                "{hidden_size: 64, inter", with: "{tie_word_embeddings: \(isTied), hidden_size: 64, inter")
        }
        // A tied table learns in leaps here (a gradient of 11 among those of 1), which carry rounding on.
        try compare(
            model(isTied: true), [("{tensor: 2}", .none, 2), ("{tensor: 4}", .none, 4)], more: loss, looseness: 5,
            apart: 1e-4)
        // A head of its own, which learns while the table does not.
        try compare(
            model(isTied: false), [("{tensor: 2}", .gradients, 4)], more: loss + ["stages.first.train=[decoder, head]"],
            shared: pieces)
    }

    @Test("Experts on 2 and 4 ranks, with and without divided matrices, 20 steps")
    func expert() throws {
        try compare(
            Self.experts,
            [
                ("{expert: 2}", .none, 2), ("{expert: 4}", .none, 4), ("{expert: 2}", .none, 4),
                ("{expert: 2}", .gradients, 4), ("{tensor: 2, expert: 2}", .none, 4), ("{}", .full, 2),
            ])
    }

    @Test("Experts of spread blocks, learning and frozen, 20 steps")
    func spreadExperts() throws {
        try compare(
            Self.experts,
            [("{expert: 2}", .full, 4), ("{expert: 4}", .full, 4), ("{tensor: 2, expert: 2}", .full, 4)],
            more: ["stages.second.train=[merger]"])
    }

    @Test(
        "Adafactor's and Muon's steps are those of whole matrices, 20 steps",
        arguments: [Recipe.OptimizerKind.adafactor, .muon])
    func wholeMatrices(_ optimizer: Recipe.OptimizerKind) throws {
        // Muon's iteration is in bf16, and makes much of directions that hardly have a gradient.
        let (looseness, apart) = optimizer == .muon ? (10.0, 5e-3) : (1, 2e-5)
        try compare(
            Self.dense,
            [
                ("{}", .optimizer, 2), ("{}", .full, 2), ("{tensor: 2}", .gradients, 4), ("{tensor: 2}", .full, 4),
            ], optimizer: optimizer, looseness: looseness, apart: apart)
        try compare(
            Self.experts, [("{expert: 2}", .optimizer, 4), ("{tensor: 2, expert: 2}", .none, 4)],
            optimizer: optimizer, looseness: looseness, apart: apart)
    }

    @Test("Adapters on divided matrices, 20 steps, in PEFT's files")
    func adapters() throws {
        // On what the first stage learned. Steps that move what begins with zeros.
        let lora = [
            "stages.second.train=null", "stages.second.lora={rank: 4, alpha: 8}", "stages.second.epsilon=0.001",
        ]
        let values = try compare(
            Self.dense, [("{tensor: 2}", .none, 2), ("{tensor: 2}", .full, 4)], more: lora, apart: 5e-5)
        try compare(
            Self.dense, [("{tensor: 4}", .none, 4)], more: lora,
            shared: ["first", "second"].map { "stages.\($0).memory={recompute: [tower, decoder]}" }, apart: 5e-5)
        // Lengths of rows that lie on several ranks, and the same elements left out, with steps at which that is stable.
        for (settings, rate) in [("dora: true", 0.03), ("dora: true, dropout: 0.1", 0.003)] {
            try compare(
                Self.dense, [("{tensor: 2}", .none, 2)],
                more: [
                    lora[0], "stages.second.lora={rank: 4, alpha: 8, \(settings)}", lora[2],
                    "stages.second.learning_rate=\(rate)",
                ], apart: 5e-5)
        }
        let ups = values.filter { $0.key.hasPrefix("adapter_model") && $0.key.hasSuffix("lora_B.weight") }
        #expect(ups.count > 10 && ups.values.allSatisfy { $0.contains { abs($0) > 1e-4 } })
    }

    @Test("Adapters on experts that are dealt out, 20 steps")
    func adaptersOfExperts() throws {
        let values = try compare(
            Self.experts, [("{expert: 2}", .none, 2), ("{expert: 2}", .full, 4), ("{tensor: 2, expert: 2}", .none, 4)],
            more: [
                "stages.second.train=null", "stages.second.lora={rank: 4, alpha: 8, dora: true}",
                "stages.second.epsilon=0.001",
            ], apart: 5e-5)
        #expect(values.keys.contains { $0.hasPrefix("adapter_model") && $0.contains("experts.3") })
    }

    /// Sizes of which pieces are whole blocks of moments.
    private static let wide = """
        model={random: \(TinyModel.folder.path), config: {hidden_size: 128, intermediate_size: 128, num_attention_heads: 8, \
        num_key_value_heads: 8, rope_scaling: {type: mrope, mrope_section: [2, 3, 3]}, vision_config: {hidden_size: 128, embed_dim: 128}}}
        """

    private static let smallMoments = ["first", "second"].map { "stages.\($0).memory={moment_bits: 8}" }

    @Test("Moments in 8 bits of divided matrices and experts are those of whole ones, and go on as these do")
    func momentsInBytes() throws {
        let experts = Self.experts.replacing(
            "hidden_size: 32, intermediate_size: 48", with: "hidden_size: 64, intermediate_size: 64")
        for (model, parallel, sharding, ranks) in [
            (Self.wide, "{tensor: 2}", "none", 2), (Self.wide, "{tensor: 2}", "full", 4),
            (experts, "{expert: 2}", "none", 2),
        ] {
            let whole = try TemporaryFolder(), parts = try TemporaryFolder(),
                more = [model, "stages.first.checkpoint_every=1"] + Self.smallMoments
            let expected = try #require(try train(rankRecipe(whole, steps: (4, 4), more), ranks: 1).first)
            let shared = more + ["parallel=\(parallel)", "sharding.kind=\(sharding)"]
            let found = try #require(try train(rankRecipe(parts, steps: (4, 4), shared), ranks: ranks, stop: 1).first)
            let (ours, theirs) = (try checkpointTensors(whole, 1), try checkpointTensors(parts, 1))
            #expect(Set(ours.keys) == Set(theirs.keys))
            var same = 0, all = 0
            for (name, values) in ours where name.contains(".codes.") {
                let found = try #require(theirs[name])
                #expect(found.count == values.count, "\(name)")
                // What is rounded the other way is one off, and one more where its scale is.
                #expect(largestDifference(values, found) <= 2, "\(name)")
                same += zip(values, found).count { $0 == $1 }
                all += values.count
            }
            #expect(all > 100_000 && Double(same) > 0.99 * Double(all), "\(parallel): \(same) of \(all)")
            // With another layout.
            let last = try #require(try train(rankRecipe(parts, steps: (4, 4), more), ranks: 1, resume: true).first)
            for (a, b) in zip(found.losses + last.losses, expected.losses) {
                #expect(abs(a - b) <= 1e-4 * b, "\(parallel)")
            }
            #expect(found.losses.count + last.losses.count == 8)
        }
    }

    @Test("Matrices in 4 bits below adapters, whole, spread, divided and dealt out")
    func fourBits() throws {
        for (model, cases) in [
            (Self.dense, [("{}", ShardingKind.full, 2), ("{tensor: 2}", .none, 2), ("{tensor: 2}", .full, 4)]),
            (Self.experts, [("{expert: 2}", .none, 2), ("{tensor: 2, expert: 2}", .none, 4)]),
        ] {
            let first = try TemporaryFolder()
            _ = try train(rankRecipe(first, [model]), ranks: 1)
            func recipe(_ folder: TemporaryFolder, _ overrides: [String]) throws -> Recipe.Loaded {
                try adapterRecipe(
                    folder, "{rank: 4, base_bits: 4}", precision: "f32",
                    [
                        "model={checkpoint: \(first.path("run/step-000004"))}", "stages.adapters.epsilon=0.001",
                        "stages.adapters.batch.accumulation=4", "stages.adapters.steps=8",
                    ] + overrides)
            }
            let alone = try TemporaryFolder()
            let expected = try #require(try train(recipe(alone, []), ranks: 1).first)
            let tensors = try checkpointTensors(alone, 8)
            #expect(expected.losses.count == 8)
            #expect(tensors.contains { $0.key.hasSuffix("lora_B.weight") && $0.value.contains { abs($0) > 1e-3 } })
            for (parallel, sharding, ranks) in cases {
                let folder = try TemporaryFolder(), what = "\(parallel), \(sharding), \(ranks) ranks"
                let found = try #require(
                    try train(
                        recipe(folder, ["parallel=\(parallel)", "sharding.kind=\(sharding.rawValue)"]), ranks: ranks
                    ).first)
                #expect(found.losses.count == 8, "\(what)")
                for (a, b) in zip(found.losses, expected.losses) { #expect(abs(a - b) <= 1e-5 * b, "\(what)") }
                for (a, b) in zip(found.norms, expected.norms) { #expect(abs(a - b) <= 1e-4 * b, "\(what)") }
                let other = try checkpointTensors(folder, 8)
                #expect(Set(other.keys) == Set(tensors.keys), "\(what)")
                for (name, values) in tensors where name.hasPrefix("adapter_model") {
                    #expect(largestDifference(values, try #require(other[name])) < 5e-5, "\(what) \(name)")
                }
            }
        }
    }

    @Test("Blocks with experts that are computed again talk to other ranks again, 20 steps")
    func expertsAgain() throws {
        try compare(
            Self.experts, [("{expert: 2}", .none, 2), ("{tensor: 2, expert: 2}", .none, 4)],
            shared: ["first", "second"].map { "stages.\($0).memory={recompute: [tower, decoder]}" })
    }

    /// NVLM-X, whose tower has norms over the heads of all ranks together, and a head that is padding.
    @Test("Gated cross-attention on several ranks, spread, whole and divided, 20 steps")
    func crossAttention() throws {
        let model =
            "model={random: \(Fixtures.checkout.path)/Recipes/nano/models/nvlm-x, "
            + "vocabulary: \(Fixtures.checkout.path)/Recipes/nano/model, config: {llm_config: {hidden_size: 32, "
            + "intermediate_size: 48, num_attention_heads: 4, num_key_value_heads: 2}, vision_config: {hidden_size: 48, "
            + "intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 3}}}"
        // Gates are closed at first, and must open in a few steps for pictures to count.
        let open = ["stages.first.multiples={'*cross_attn.gate': 100}"]
        try compare(
            model,
            [
                ("{}", .full, 2), ("{}", .full, 4), ("{}", .gradients, 2), ("{tensor: 2}", .none, 2),
                ("{tensor: 2}", .full, 4),
            ], more: open)
    }

    @Test("A run goes on with another layout", arguments: [true, false])
    func goesOn(_ hasExperts: Bool) throws {
        let model = hasExperts ? Self.experts : Self.dense
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let expected = try #require(try train(recipe(whole, [model]), ranks: 1).first)
        var losses: [Double] = [], samples: [[[String]]] = []
        let layouts: [(String, Int, Int?)] = [
            ("{tensor: 2}", 2, 4), (hasExperts ? "{tensor: 2, expert: 2}" : "{tensor: 4}", 4, 9), ("{}", 1, 14),
            (hasExperts ? "{expert: 4}" : "{tensor: 2}", 4, nil),
        ]
        for (parallel, ranks, stop) in layouts {
            let runs = try train(
                recipe(parts, [model, "parallel=\(parallel)"]), ranks: ranks, resume: !losses.isEmpty, stop: stop)
            losses += runs[0].losses
            samples += runs[0].samples
        }
        #expect(losses.count == 20)
        for (a, b) in zip(losses, expected.losses) { #expect(abs(a - b) <= 1e-5 * b) }
        #expect(samples == expected.samples)
    }

    @Test("With the same layout a resumed run has the same bits, in bf16 too")
    func exactResume() throws {
        for (model, parallel, sharding) in [
            (Self.dense, "{tensor: 2}", "none"), (Self.dense, "{tensor: 2}", "full"),
            (Self.experts, "{expert: 2}", "full"), (Self.experts, "{tensor: 2, expert: 2}", "none"),
            (Self.dense, "{tensor: 2}", "muon"), (Self.wide, "{tensor: 2}", "small"),
        ] {
            let whole = try TemporaryFolder(), parts = try TemporaryFolder()
            let kind = ["muon", "small"].contains(sharding) ? "gradients" : sharding,
                optimizer: Recipe.OptimizerKind = sharding == "muon" ? .muon : .adamw
            let all =
                [
                    model, "parallel=\(parallel)", "sharding.kind=\(kind)", "precision=bf16", "stages.first.steps=3",
                    "stages.second.steps=2",
                ] + (sharding == "small" ? Self.smallMoments : [])
            _ = try train(recipe(whole, optimizer: optimizer, all + ["stages.second.evaluate_every=2"]), ranks: 4)
            _ = try train(
                recipe(parts, optimizer: optimizer, all + ["stages.second.evaluate_every=2"]), ranks: 4, stop: 2)
            _ = try train(
                recipe(parts, optimizer: optimizer, all + ["stages.second.evaluate_every=2"]), ranks: 4, resume: true)
            #expect(try checkpointTensors(whole, 5) == checkpointTensors(parts, 5))
        }
    }

    @Test("A rank has its pieces of what is divided, and no more")
    func memory() throws {
        let folder = try TemporaryFolder()
        let loaded = try recipe(folder, [Self.experts])
        let counts = try onRanks(4) { group -> [Int] in
            let decoder = try Trainer(loaded, resume: false, observer: Recorder()).model
            let model = decoder.store, table = decoder.decoder.embedding.weight, rows = table.shape[0]
            let whole = model.parameters.reduce(0) { $0 + $1.count }
            let experts = model.parameters.filter { $0.name.contains(".experts.") }.reduce(0) { $0 + $1.count }
            let mesh = try RankMesh(group, .init(tensor: 2, expert: 2))
            try mesh.divide(model)
            let optimizer = try Optimizer(
                model.parameters.filter { !$0.isConstant }, dtype: .float32, settings: AdamWOptions(rate: 1e-3),
                ranks: mesh.data, everyone: group)
            try mesh.cut(model)
            #expect(rows.isMultiple(of: 2) && table.shape[0] == rows / 2)
            let held = model.parameters.reduce(0) { $0 + $1.count }
            let heldExperts = model.parameters.filter { $0.name.contains(".experts.") }.reduce(0) { $0 + $1.count }
            #expect(optimizer.parameterCount == whole)
            _ = try optimizer.release()
            try mesh.unite(model)
            return [experts, heldExperts, whole, held, model.parameters.reduce(0) { $0 + $1.count }]
        }
        for count in counts {
            #expect(count[0] == 4 * count[1] && count[3] < count[2] && count[4] == count[2])
        }
    }

    @Test("What cannot be divided is refused with its key")
    func refusals() throws {
        let folder = try TemporaryFolder()
        for (overrides, ranks, words) in [
            (["parallel={tensor: 3}"], 2, "start a multiple"), (["parallel={tensor: 2}"], 2, "key-value heads"),
            (["parallel={expert: 2}"], 2, "parallel.expert: the decoder has no experts"),
            ([Self.experts, "parallel={tensor: 4}"], 4, "not a multiple of 4"),
            ([Self.dense, "parallel={tensor: 2}", "threads=2"], 2, "threads:"),
            (
                [Self.dense, "parallel={tensor: 2}", "stages.first.memory={moment_bits: 8}"], 2,
                "first.memory.moment_bits"
            ),
            // Of the last stage, too, before the first begins.
            (
                [Self.dense, "parallel={tensor: 2}", "stages.second.memory={moment_bits: 8}"], 2,
                "second.memory.moment_bits"
            ),
            ([Self.dense, "parallel={tensor: 2}", "stages.first.regions={weight: 1}"], 2, "stages.first.regions"),
        ] {
            let error = try #require(throws: TrainingError.self) { try train(recipe(folder, overrides), ranks: ranks) }
            #expect("\(error)".contains(words), "\(error)")
            #expect(!FileManager.default.fileExists(atPath: folder.path("run/\(CheckpointStore.name(12))")))
            try? FileManager.default.removeItem(at: folder.url.appending(path: "run"))
        }
        let unknown = try #require(throws: RecipeError.self) { try recipe(folder, ["parallel={pipeline: 2}"]) }
        #expect("\(unknown)".contains("pipeline"), "\(unknown)")
    }
}
