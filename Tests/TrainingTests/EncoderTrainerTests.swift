import Data
import Foundation
import Media
import Models
import TestSupport
import Testing
import Torch

@testable import Training

/// Encoders by recipe: `Recipes/nano/{navit,clip,siglip,aim}.yaml`.
@Suite("Encoders by recipe", .serialized)
struct EncoderTrainerTests {
    private static let folder = Fixtures.checkout.appending(path: "Recipes/nano")
    /// Configurations small enough for a test.
    static let small = [
        "navit": "{dim: 32, depth: 1, heads: 1, mlp_dim: 64}",
        "clip": """
        {projection_dim: 32, vision_config: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 1,
          num_attention_heads: 1, patch_size: 28}, text_config: {hidden_size: 32, intermediate_size: 64,
          num_hidden_layers: 1, num_attention_heads: 1}}
        """,
        "siglip": """
        {vision_config: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 1, num_attention_heads: 1,
          patch_size: 28}, text_config: {hidden_size: 64, intermediate_size: 64, num_hidden_layers: 1,
          num_attention_heads: 1}}
        """,
        "aim": """
        {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 1, head_size: 64,
          head_depth: 1}
        """,
    ]

    static func load(_ name: String, _ overrides: [String]) throws -> Recipe.Loaded {
        let small = try #require(small[name]).replacing("\n", with: " ")
        return try Recipe.load(
            folder.appending(path: "\(name).yaml"),
            overrides: ["stages.lesson.schedule={kind: constant}", "model.config=\(small)"] + overrides)
    }

    private func run(_ loaded: Recipe.Loaded, resume: Bool = false, stop: Int? = nil) throws -> Recorder {
        let recorder = Recorder()
        let trainer = try EncoderTrainer(loaded, resume: resume, observer: recorder)
        trainer.shouldStop = { step in stop.map { step >= $0 } ?? false }
        _ = try trainer.run()
        return recorder
    }

    @Test("An encoder goes on after a stop as if there had been none", arguments: small.keys.sorted())
    func resumes(_ name: String) throws {
        func run(_ output: TemporaryFolder, resume: Bool = false, stop: Int? = nil) throws -> Recorder {
            try self.run(
                Self.load(
                    name,
                    [
                        "output=\(output.path("run"))", "stages.lesson.steps=3", "stages.lesson.evaluate_every=3",
                        "stages.lesson.batch={tokens: 300, max_samples: 3, accumulation: 2}", "held_out.samples=4",
                    ]), resume: resume, stop: stop)
        }
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let straight = try run(whole)
        let first = try run(parts, stop: 1), second = try run(parts, resume: true)
        #expect((first.steps + second.steps).map(\.report.loss) == straight.steps.map(\.report.loss))
        #expect(straight.evaluations.last?.loss == second.evaluations.last?.loss)
        #expect(straight.steps.count == 3 && straight.steps.allSatisfy { $0.report.pictures > 0 })
        let record = try #require(straight.evaluations.last)
        #expect(record.loss.isFinite)
        #expect(name == "aim" ? record.chance != nil && record.blind == nil : record.blind != nil)
        let weights = "run/step-000003/model.safetensors"
        let straightBytes = try Data(contentsOf: whole.url.appending(path: weights))
        let resumedBytes = try Data(contentsOf: parts.url.appending(path: weights))
        #expect(straightBytes.count == resumedBytes.count)
        #expect(straightBytes == resumedBytes)
        let summary = try ModelSummary(folder: whole.url.appending(path: "run/step-000003"))
        #expect(summary.problems.isEmpty && summary.total > 0 && !summary.parts.contains { $0.name == .other })
    }

    @Test("Patches are told better than by their mean")
    func autoregressive() throws {
        let output = try TemporaryFolder()
        let recorder = try run(
            Self.load(
                "aim",
                [
                    "output=\(output.path("run"))", "stages.lesson.steps=60", "stages.lesson.evaluate_every=30",
                    "stages.lesson.batch={tokens: 4096, max_samples: 8, accumulation: 1}", "held_out.samples=16",
                    "stages.lesson.learning_rate=3.0e-3", "precision=f32", "threads=1",
                ]))
        #expect(recorder.evaluations.count == 2)
        let early = try #require(recorder.evaluations.first), late = try #require(recorder.evaluations.last)
        let mean = try #require(late.chance)
        #expect(late.loss < early.loss && late.loss < 0.9 * mean.loss, "\(early.loss), \(late.loss) against \(mean)")
        #expect(abs(late.accuracy - (1 - late.loss / mean.loss)) < 1e-9)
    }

    /// One micro-batch of twelve and four of three, from the same pictures.
    @Test(
        "A contrastive step is the same in one micro-batch and in several, and is not where those are told apart",
        arguments: ["clip", "siglip"], [1, 2])
    func negatives(_ name: String, _ threads: Int) throws {
        func losses(_ batch: String, _ more: [String] = []) throws -> ([Double], [Double], Int) {
            let output = try TemporaryFolder()
            let steps = try run(
                Self.load(
                    name,
                    [
                        "output=\(output.path("run"))", "stages.lesson.steps=5", "stages.lesson.evaluate_every=0",
                        "stages.lesson.batch=\(batch)", "precision=f32", "threads=\(threads)",
                        "stages.lesson.epsilon=0.1", "stages.lesson.learning_rate=0.03",
                        "stages.lesson.data=[{synthetic: {seed: 1, max_objects: 1, difficulty: 0, chinese_share: 0, "
                            + "sides: [96, 128], tasks: {describe: 1}}}]",
                    ] + more)
            ).steps
            return (
                steps.map(\.report.loss), steps.map(\.report.gradientNorm), steps.reduce(0) { $0 + $1.report.pictures }
            )
        }
        let whole = try losses("{tokens: 5000, max_samples: 12, accumulation: 1}")
        let parts = "{tokens: 5000, max_samples: 3, accumulation: 4}"
        let pieces = try losses(parts)
        for (a, b) in zip(pieces.0, whole.0) { #expect(abs(a - b) <= 1e-5 * b) }
        for (a, b) in zip(pieces.1, whole.1) { #expect(abs(a - b) <= 1e-4 * b) }
        // Captions of one object come twice in some steps.
        #expect(whole.2 < 60 && pieces.2 > whole.2)
        let apart = try losses(parts, ["objective.negatives=micro_batch"])
        // With a bias of -10 pairs that do not belong together say little at first.
        #expect(abs(apart.0[0] - whole.0[0]) > (name == "clip" ? 0.1 : 3e-4))
        // A tower that does not learn, as where texts are tuned to pictures (Zhai et al. 2022).
        let locked = try losses(parts, ["stages.lesson.train=['text_model.*', 'logit_scale']"])
        #expect(abs(locked.0[0] - whole.0[0]) <= 1e-5 * whole.0[0] && locked.0[4] != whole.0[4])
    }

    @Test("Captions that are alike never meet in a batch")
    func grouping() throws {
        let pictures = try GeneratedPictures(
            [
                .init(
                    kind: .synthetic(SyntheticOptions(seed: 3, difficulty: 0, maxObjects: 1), spells: false), weight: 1)
            ], seed: 5)
        let first = try pictures.sample(0), second = try pictures.sample(1)
        let samples = [first, first, second, first, second]
        let groups = ContrastiveLesson.grouped(samples, size: 2).map { $0.map(\.caption) }
        #expect(first.caption != second.caption && !first.caption.isEmpty)
        #expect(groups == [[first.caption, second.caption], [first.caption, second.caption], [first.caption]])
        #expect(ContrastiveLesson.grouped(samples, size: 1).count == 5)
    }

    @Test("Encoders need their objective's model, and pictures that are known")
    func mistakes() throws {
        let output = try TemporaryFolder()
        func error(_ name: String, _ overrides: [String]) throws -> String {
            let error = try #require(throws: (any Error).self) {
                try run(Self.load(name, ["output=\(output.path(UUID().uuidString))"] + overrides))
            }
            return "\(error)"
        }
        #expect(try error("navit", ["model.config={num_classes: 7}"]).contains("num_classes"))
        #expect(try error("navit", ["model.random=models/mm1"]).contains("needs a model of type 'navit'"))
        #expect(try error("clip", ["model.random=models/navit"]).contains("'clip' or 'siglip'"))
        #expect(try error("clip", ["stages.lesson.data=[{jsonl: nothing.jsonl}]"]).contains("must be synthetic"))
        #expect(
            try error("clip", ["stages.lesson.batch={tokens: 8192, max_samples: 1}"]).contains("max_samples"))
        #expect(try error("clip", ["objective={kind: contrastive, negatives: all}"]).contains("micro_batch"))
        #expect(try error("clip", ["objective={kind: contrastive, loss: hinge}"]).contains("softmax"))
        #expect(try error("clip", ["objective={kind: autoregressive}"]).contains("'aim'"))
        #expect(try error("aim", ["held_out.blind=true"]).contains("held_out.blind"))
        #expect(try error("aim", ["objective={kind: autoregressive, sides: [64, 96]}"]).contains("sides"))
        #expect(
            try error("siglip", ["model.config={text_config: {hidden_size: 96}, vision_config: {}}"])
                .contains("hidden_size"))
    }
}
