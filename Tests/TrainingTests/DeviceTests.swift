import CStandInDevice
import Data
import Foundation
import Models
import NN
import Synchronization
import TestSupport
import Testing
import Torch

@testable import Training

/// Training on a device that is not the CPU: on a Mac its GPU, elsewhere one that stands in for a GPU and refuses to mix
/// tensors of two devices (`Tests/StandInDevice`).
@Suite("Training on another device", .enabled(if: Device.mps.isAvailable))
struct DeviceTests {
    private static let device = "device=mps"

    private func weights(_ folder: TemporaryFolder, _ step: Int) throws -> [String: [Double]] {
        let url = folder.url.appending(path: "run/\(CheckpointStore.name(step))")
        let model = try ModelFolder(url).loadModel(dtype: .float32)
        return try Dictionary(uniqueKeysWithValues: model.store.parameters.map { ($0.name, try $0.tensor.doubles()) })
    }

    /// Losses within rounding, step by step.
    private func expectSame(_ here: Recorder, _ there: Recorder, within tolerance: Double = 1e-4, _ what: String) {
        #expect(here.steps.count == there.steps.count && !here.steps.isEmpty)
        for (a, b) in zip(here.steps, there.steps) {
            #expect(abs(a.report.loss - b.report.loss) < tolerance * a.report.loss, "\(what), step \(a.step)")
            #expect(
                abs(a.report.gradientNorm - b.report.gradientNorm) < 10 * tolerance * a.report.gradientNorm,
                "\(what), step \(a.step)")
        }
    }

    private static let kinds: [String: [String]] = [
        "plain": [],
        "less memory": [
            "stages.first.memory={moment_bits: 8, recompute: [tower, decoder], loss_rows: 8}",
            "stages.second.memory={moment_bits: 8}",
        ],
        "offloaded": ["stages.first.memory={offload: optimizer}", "stages.second.memory={offload: optimizer}"],
        "blocks elsewhere": [
            "stages.first.memory={offload: parameters}", "stages.second.memory={offload: parameters}",
            "stages.first.evaluate_every=2",
            "held_out={samples: 4, data: [{synthetic: {seed: 4, split: held-out, sides: [112, 140]}}]}",
        ],
        "blocks elsewhere at first": [
            "stages.first.memory={offload: parameters, moment_bits: 8}", "stages.first.ema={decay: 0.9}",
        ],
        "regions": ["stages.first.regions={weight: 0.5, look: 0.5, layer: 1}"],
        "adafactor": ["stages.first.optimizer=adafactor"],
        "muon": ["stages.first.optimizer=muon"],
        "weights of the loss": ["stages.first.loss={weighting: sample, z: 1.0e-3}"],
        "means": ["stages.first.ema={decay: 0.9}", "stages.second.layer_decay={decoder: 0.9}"],
        "measured": [
            "stages.first.evaluate_every=2",
            "held_out={samples: 4, data: [{synthetic: {seed: 4, split: held-out, sides: [112, 140]}}]}",
        ],
    ]

    @Test("A recipe learns the same there, whatever it asks for", arguments: kinds.keys.sorted())
    func sameRun(_ kind: String) throws {
        let here = try TemporaryFolder(), there = try TemporaryFolder()
        let overrides = try #require(Self.kinds[kind]) + ["precision=f32"]
        let before = stand_in_device_operations()
        let onCPU = try run(tinyRecipe(here, overrides))
        let (recorder, trainer) = try trainedRun(tinyRecipe(there, overrides + [Self.device]))
        let blocks = Set(trainer.model.store.blocks.joined().filter { !$0.isConstant }.map(\.name))
        #expect(
            trainer.model.store.parameters.allSatisfy {
                $0.tensor.device == (kind == "blocks elsewhere" && blocks.contains($0.name) ? .cpu : .mps)
            })
        #expect(recorder.runs.first?.machine.device == "mps" && onCPU.runs.first?.machine.device == "cpu")
        #expect(!stand_in_device_is_there() || stand_in_device_operations() > before + 1000)
        expectSame(onCPU, recorder, within: kind == "muon" ? 5e-3 : 1e-4, kind)
        #expect(onCPU.evaluations.count == recorder.evaluations.count)
        for (a, b) in zip(onCPU.evaluations, recorder.evaluations) { #expect(abs(a.loss - b.loss) < 1e-3 * a.loss) }
        #expect(kind != "measured" || recorder.evaluations.count > 1)
        let ours = try weights(here, 7), theirs = try weights(there, 7)
        #expect(ours.count == theirs.count)
        // Adam turns a gradient that is nothing but rounding into a whole step: single values may differ.
        let far = ours.flatMap { name, values in zip(values, theirs[name] ?? []).map { abs($0 - $1) } }
        #expect(far.reduce(0, +) / Double(far.count) < (kind == "muon" ? 1e-3 : 1e-4))
    }

    @Test("An offloaded optimiser has all its own on the CPU", arguments: [DType.float32, .bfloat16])
    func offloaded(_ dtype: DType) throws {
        let tiny = try TinyModel(dtype: dtype)
        for parameter in tiny.model.store.parameters { parameter.tensor = try parameter.tensor.to(.mps) }
        let optimizer = try Optimizer(
            tiny.model.store.parameters, dtype: dtype, settings: AdamWOptions(rate: 0.1), offload: .optimizer)
        for group in optimizer.groups {
            let own = [group.master, group.gradient, group.step, group.first?.values, group.second?.values]
            #expect(own.allSatisfy { $0?.device == .cpu } && group.leaves?.device == .mps)
        }
        let weights = try #require(tiny.model.store.parameters.last)
        let before = try weights.tensor.to(.cpu).doubles()
        try optimizer.add(optimizer.leaves.map { try .ones($0.shape, dtype: dtype, device: .mps) })
        try optimizer.step(rate: 0.1)
        let after = try weights.tensor.to(.cpu).doubles()
        #expect(weights.tensor.device == .mps)
        // AdamW's first step is as long as the rate.
        #expect(zip(before, after).allSatisfy { abs($0 - $1 - 0.1) < 0.01 })
    }

    @Test("A pass that fails leaves nothing in the next one's gradients, wherever blocks lie")
    func failedPass() throws {
        func gradients(failing: Bool) throws -> [[Double]] {
            let tiny = try TinyModel()
            let blocks = Set(tiny.model.store.blocks.joined().map(\.name))
            for parameter in tiny.model.store.parameters where !blocks.contains(parameter.name) {
                parameter.tensor = try parameter.tensor.to(.mps)
            }
            let optimizer = try Optimizer(
                tiny.model.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 0.1), offload: .parameters,
                device: .mps, blocks: tiny.model.store.blocks)
            try optimizer.spread()
            #expect(optimizer.isSpread)
            let step = TrainingStep(model: tiny.model, optimizer: optimizer), sequences = try tiny.sequences(0..<4)
            // Head and last norm come first, and then, behind all blocks of the decoder, the rest. What the pass added is taken
            // back, and the step is computed again.
            let arrived = Mutex(0)
            let report = try GradientStream.$beforeTaking.withValue({
                let count = arrived.withLock {
                    $0 += 1
                    return $0
                }
                if failing, count == 3 {
                    throw TorchError(kind: .outOfMemory, operation: "matmul", message: "no memory for a gradient")
                }
            }) { try step.accumulate([sequences]) }
            #expect(report.isApplied && arrived.withLock { $0 } >= 3)
            return try optimizer.groups.map { try $0.gradient.doubles() }
        }
        let plain = try gradients(failing: false)
        #expect(try gradients(failing: true) == plain && plain.joined().contains { $0 != 0 })
    }

    @Test("So it does in bf16, within what that rounds away")
    func halfPrecision() throws {
        let here = try TemporaryFolder(), there = try TemporaryFolder()
        let onCPU = try run(tinyRecipe(here)), elsewhere = try run(tinyRecipe(there, [Self.device]))
        expectSame(onCPU, elsewhere, within: 0.02, "bf16")
    }

    @Test(
        "A run goes on to the same bits there, and may change between devices", arguments: [1, 5],
        [[], ["stages.first.memory={offload: parameters}", "stages.second.memory={offload: parameters}"]])
    func resumes(_ stop: Int, _ memory: [String]) throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder(), mixed = try TemporaryFolder()
        func bytes(_ folder: TemporaryFolder) throws -> [Data] {
            try ["model.safetensors", "training/optimizer.safetensors"].map {
                try Data(contentsOf: folder.url.appending(path: "run/step-000007/\($0)"))
            }
        }
        let straight = try run(tinyRecipe(whole, [Self.device] + memory))
        try run(tinyRecipe(parts, [Self.device] + memory), stop: stop)
        try run(tinyRecipe(parts, [Self.device] + memory), resume: true)
        #expect(try bytes(whole) == bytes(parts))
        let first = try run(tinyRecipe(mixed), stop: stop)
        let second = try run(tinyRecipe(mixed, [Self.device]), resume: true)
        first.steps += second.steps
        expectSame(straight, first, within: 0.02, "both")
        #expect(try bytes(mixed).map(\.count) == bytes(whole).map(\.count))
    }

    @Test(
        "Adapters learn the same there, over a base in 4 bits, too",
        arguments: ["{rank: 4}", "{rank: 4, dora: true}", "{rank: 4, base_bits: 4}"],
        [[], ["stages.adapters.memory={offload: parameters}"]])
    func adapters(_ lora: String, _ memory: [String]) throws {
        let here = try TemporaryFolder(), there = try TemporaryFolder()
        expectSame(
            try run(adapterRecipe(here, lora, precision: "f32")),
            try run(adapterRecipe(there, lora, precision: "f32", [Self.device] + memory)), within: 1e-3, lora)
        let saved = there.url.appending(path: "run/step-000004/adapter_model.safetensors")
        #expect(FileManager.default.fileExists(atPath: saved.path))
    }

    private static let shared: [(model: String, overrides: [String])] = [
        ("", []), ("", ["sharding.kind=gradients"]),
        ("", ["sharding.kind=full", "stages.second.memory={offload: optimizer}"]),
        ("", ["sharding.kind=optimizer", "stages.first.memory={offload: optimizer}"]),
        ("", ["sharding.kind=full", "stages.first.memory={recompute: [decoder]}"]),
        ("", ["sharding.kind=full"] + ["first", "second"].map { "stages.\($0).memory={offload: parameters}" }),
        (ParallelTests.dense, ["parallel={tensor: 2}"]), (ParallelTests.experts, ["parallel={expert: 2}"]),
    ]

    /// What goes between ranks goes through the CPU's memory, or from device to device where they are connected.
    @Test("Two ranks learn there what one learns here, whatever they share", .inTurn, arguments: shared, [false, true])
    func ranks(_ shared: (model: String, overrides: [String]), _ areConnected: Bool) throws {
        stand_in_device_hold_ranks(areConnected)
        defer { stand_in_device_release_ranks() }
        let (model, overrides) = shared
        let before = stand_in_device_collectives()
        let here = try TemporaryFolder(), there = try TemporaryFolder(), models = model.isEmpty ? [] : [model]
        let alone = try #require(try train(rankRecipe(here, models), ranks: 1).first)
        let several = try train(rankRecipe(there, models + overrides + [Self.device]), ranks: 2)
        #expect(!stand_in_device_is_there() || (stand_in_device_collectives() > before) == areConnected)
        #expect(several.count == 2 && several[0].losses.count == 4)
        for (a, b) in zip(several[0].losses, alone.losses) { #expect(abs(a - b) <= 1e-4 * abs(b), "\(overrides)") }
        for (a, b) in zip(several[0].norms, alone.norms) { #expect(abs(a - b) <= 1e-3 * abs(b), "\(overrides)") }
        #expect(abs(several[0].evaluations[0] - alone.evaluations[0]) <= 1e-4 * alone.evaluations[0])
    }

    @Test("Models of other kinds learn there, too", arguments: ["mm1-moe", "nvlm-d", "nvlm-h", "nvlm-x", "qwen-vl"])
    func otherModels(_ name: String) throws {
        func run(_ folder: TemporaryFolder, _ overrides: [String]) throws -> Recorder {
            let url = Fixtures.checkout.appending(path: "Recipes/nano/\(name).yaml")
            let stages = try Recipe.load(url).recipe.stages.map(\.name)
            let short = stages.flatMap {
                ["stages.\($0).steps=2", "stages.\($0).batch={tokens: 1500, max_samples: 2, accumulation: 1}"]
                    + ["stages.\($0).evaluate_every=0", "stages.\($0).schedule={kind: constant}"]
            }
            return try TrainingTests.run(
                Recipe.load(
                    url, overrides: ["output=\(folder.path("run"))", "precision=f32", "threads=1"] + short + overrides))
        }
        let here = try TemporaryFolder(), there = try TemporaryFolder()
        expectSame(try run(here, []), try run(there, [Self.device]), within: 1e-3, name)
    }

    @Test("Encoders learn there, too", arguments: EncoderTrainerTests.small.keys.sorted())
    func encoders(_ name: String) throws {
        func run(_ folder: TemporaryFolder, _ overrides: [String]) throws -> Recorder {
            let recorder = Recorder()
            let loaded = try EncoderTrainerTests.load(
                name,
                [
                    "output=\(folder.path("run"))", "stages.lesson.steps=3", "stages.lesson.evaluate_every=3",
                    "stages.lesson.batch={tokens: 300, max_samples: 3, accumulation: 2}", "held_out.samples=4",
                    "precision=f32", "threads=1",
                ] + overrides)
            _ = try EncoderTrainer(loaded, resume: false, observer: recorder).run()
            return recorder
        }
        let here = try TemporaryFolder(), there = try TemporaryFolder()
        let onCPU = try run(here, []), elsewhere = try run(there, [Self.device])
        expectSame(onCPU, elsewhere, within: 1e-3, name)
        #expect(elsewhere.evaluations.count == 1)
    }

    /// In a process of its own: elsewhere other tests hold memory there, too.
    @Test(
        "What a run needs there is counted", .enabled(if: stand_in_device_is_there()),
        arguments: ["none", "parameters"])
    func memory(_ offload: String) async {
        await #expect(processExitsWith: .success) { [offload] in
            let folder = try TemporaryFolder()
            let loaded = try tinyRecipe(
                folder, [Self.device, "precision=f32", "stages.first.memory={offload: \(offload)}"])
            let trainer = try Trainer(loaded, resume: false, observer: Recorder())
            let stage = try #require(try trainer.check(rows: 2).first)
            let setup = try #require(stage.measuredSetup), pass = try #require(stage.measuredPass)
            print("setup \(setup), planned \(stage.plannedSetup); pass \(pass), planned \(stage.plannedPass)")
            #expect(abs(Double(setup) / stage.plannedSetup - 1) < 0.1)
            #expect(abs(Double(pass) / stage.plannedPass - 1) < 0.3)
        }
    }

    @Test("A device that is not there is named before anything runs")
    func absent() throws {
        let folder = try TemporaryFolder()
        if !Device.cuda(0).isAvailable {
            let error = try #require(throws: TorchError.self) { try run(tinyRecipe(folder, ["device=cuda"])) }
            #expect(error.description.contains("no CUDA device can be used"))
        }
        for (name, words) in [("gpu", "use one of cpu, cuda, cuda:N, mps"), ("meta", "use one of")] {
            let error = try #require(throws: RecipeError.self) { try tinyRecipe(folder, ["device=\(name)"]) }
            #expect(error.description.contains(words))
        }
        let error = try #require(throws: RecipeError.self) { try tinyRecipe(folder, [Self.device, "threads=2"]) }
        #expect(error.description.contains("threads"))
        #expect(Device.cuda(1).ofProcess(2) == .cuda(3) && Device.cpu.ofProcess(2) == .cpu)
    }
}
