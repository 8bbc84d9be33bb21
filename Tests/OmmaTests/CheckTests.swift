import Foundation
import TestSupport
import Testing

/// `omma check` and `omma plan`, end to end.
struct CheckTests {
    /// A recipe over a small model with random weights.
    private static func recipe(
        _ model: String, train: String = "all", precision: String = "bf16", tokens: Int = 900, data: String? = nil,
        more: String = ""
    ) -> String {
        """
        name: tried
        model: {random: \(model)}
        precision: \(precision)
        stages:
          - name: only
            train: [\(train)]
            steps: 10
            learning_rate: 1.0e-3
            batch: {tokens: \(tokens), look_ahead: 8}
            \(more)
            data:
              - \(data ?? "synthetic: {sides: [112, 168], difficulty: 0}")
        """
    }

    private func check(_ recipe: String, in folder: TemporaryFolder) throws -> Program.Outcome {
        try folder.write("recipe.yaml", Data(recipe.utf8))
        return try Program.run("check", folder.path("recipe.yaml"), "--json", "--threads", "1", "--rows", "2")
    }

    private func stage(_ outcome: Program.Outcome) throws -> [String: Any] {
        let stages = try #require(outcome.json()["stages"] as? [[String: Any]], "\(outcome.errors)")
        return try #require(stages.first)
    }

    private static let nano = Fixtures.checkout.appending(path: "Recipes/nano/model").path

    /// What the plan says a row takes is what tensors take, counted where they are allocated.
    @Test(arguments: [
        ("all", "bf16", 3000, ""), ("all", "f32", 2000, ""), ("merger", "bf16", 2000, ""),
        ("embedding, decoder", "bf16", 2000, ""), ("tower, merger", "f32", 2000, ""),
        ("decoder", "bf16", 1500, "ema: {decay: 0.9}"), ("decoder", "f32", 1500, "optimizer: adafactor"),
    ])
    func memoryIsAsPlanned(_ train: String, _ precision: String, _ tokens: Int, _ more: String) throws {
        let folder = try TemporaryFolder()
        let outcome = try check(
            Self.recipe(Self.nano, train: train, precision: precision, tokens: tokens, more: more), in: folder)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let stage = try stage(outcome)
        let planned = try #require(stage["planned"] as? [String: Double])
        func value(_ name: String) -> Double { planned[name] ?? 0 }
        let pass = try #require(stage["measuredPass"] as? Double),
            setup = try #require(stage["measuredSetup"] as? Double)
        let plannedPass = value("activations") + value("temporary")
        let plannedSetup = value("weights") + value("gradients") + value("optimizer")
        #expect(abs(plannedPass / pass - 1) < 0.1, "planned \(plannedPass), measured \(pass)")
        #expect(abs(plannedSetup / setup - 1) < 0.02, "planned \(plannedSetup), measured \(setup)")
    }

    private static let embedded = Fixtures.checkout.appending(path: "Sources/EmbeddedModel/omma-nano").path

    /// Blocks' matrices in 4 bits take an eighth of what they take in float32, and passes no more than before.
    @Test func aBaseInFourBitsTakesLess() throws {
        let folder = try TemporaryFolder()
        func memory(_ lora: String) throws -> (setup: Double, pass: Double, plannedSetup: Double, plannedPass: Double) {
            let recipe = """
                name: tried
                model: {checkpoint: \(Self.embedded)}
                precision: f32
                stages:
                  - name: only
                    lora: \(lora)
                    steps: 10
                    learning_rate: 1.0e-3
                    batch: {tokens: 600, look_ahead: 8}
                    memory: {recompute: [tower, decoder], loss_rows: 64}
                    data:
                      - synthetic: {sides: [112, 168], difficulty: 0}
                """
            let outcome = try check(recipe, in: folder)
            #expect(outcome.status == 0, "\(outcome.errors)")
            let stage = try stage(outcome), planned = try #require(stage["planned"] as? [String: Double])
            func value(_ name: String) -> Double { planned[name] ?? 0 }
            return (
                try #require(stage["measuredSetup"] as? Double), try #require(stage["measuredPass"] as? Double),
                value("weights") + value("gradients") + value("optimizer"), value("activations") + value("temporary")
            )
        }
        let plain = try memory("{rank: 8}"), packed = try memory("{rank: 8, base_bits: 4}")
        print(
            "float32 base: \(Int(plain.setup)) bytes held, \(Int(plain.pass)) in a pass; "
                + "4-bit base: \(Int(packed.setup)) held, \(Int(packed.pass)) in a pass")
        // Embeddings, what stands outside of blocks, and the adapters with their state are as they were.
        #expect(packed.setup < 0.4 * plain.setup && packed.pass < 1.02 * plain.pass)
        #expect(packed.setup + packed.pass < 0.6 * (plain.setup + plain.pass))
        #expect(abs(packed.plannedSetup / packed.setup - 1) < 0.05, "planned \(packed.plannedSetup)")
    }

    @Test func whatTheDataDoesNotReachIsNamed() throws {
        let folder = try TemporaryFolder()
        let row = #"{"messages": [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "two"}]}"#
        try folder.write("text.jsonl", Data((row + "\n").utf8))
        let data = "jsonl: text.jsonl"
        let whole = try check(Self.recipe(Program.model, data: data), in: folder)
        #expect(whole.status == 1)
        let problems = try #require(stage(whole)["problems"] as? [String])
        #expect(problems.contains { $0.contains("no gradient reaches visual.") }, "\(problems)")
        // The same data is enough for the language model.
        let language = try check(Self.recipe(Program.model, train: "decoder", data: data), in: folder)
        #expect(language.status == 0, "\(language.errors)")
    }

    @Test func badRowsAreListedWithTheirLines() throws {
        let folder = try TemporaryFolder()
        let good = #"{"messages": [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "two"}]}"#
        let lost =
            #"{"messages": [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "a"}], "images": ["no.png"]}"#
        try folder.write("rows.jsonl", Data([good, lost, "{", good].joined(separator: "\n").utf8))
        let outcome = try check(Self.recipe(Program.model, train: "decoder", data: "jsonl: rows.jsonl"), in: folder)
        #expect(outcome.status == 1)
        let data = try #require(outcome.json()["data"] as? [[String: Any]])
        let wrong = try #require(data.first?["wrong"] as? [String])
        #expect(data.first?["rows"] as? Int == 4 && wrong.count == 2)
        #expect(wrong.contains { $0.contains("rows.jsonl:2:") && $0.contains("no.png") })
        #expect(wrong.contains { $0.contains("rows.jsonl:3:") })
    }

    @Test func droppedPicturesStopTheRun() throws {
        let folder = try TemporaryFolder()
        let row =
            #"{"messages": [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "a"}], "images": ["p.png"]}"#
        try folder.write("rows.jsonl", Data((row + "\n").utf8))
        try folder.write("p.png", Data(contentsOf: URL(filePath: Program.picture)))
        let data = "{jsonl: rows.jsonl, unmarked_pictures: drop}"
        let outcome = try check(Self.recipe(Program.model, train: "decoder", data: data), in: folder)
        #expect(outcome.status == 1)
        let problems = try #require(stage(outcome)["problems"] as? [String])
        #expect(problems.contains { $0.contains("unmarked_pictures") }, "\(problems)")
    }

    @Test func textShowsWhatIsLearned() throws {
        let folder = try TemporaryFolder()
        try folder.write("recipe.yaml", Data(Self.recipe(Program.model).utf8))
        let outcome = try Program.run("check", folder.path("recipe.yaml"), "--rows", "1", "--threads", "1")
        #expect(outcome.status == 0, "\(outcome.errors)")
        for word in ["«", "[picture 1:", "with noise in their place", "gradients: wherever", "disk:", "nothing speaks"]
        {
            #expect(outcome.output.contains(word), "\(word) is not in \(outcome.output)")
        }
        // Nothing is left behind.
        #expect(folder.names == ["recipe.yaml"])
    }

    @Test func plansOfRecipesAndSizes() throws {
        let recipe = Fixtures.checkout.appending(path: "Recipes/qwen-vl/qwen-vl.yaml").path
        let plan = try Program.run("plan", recipe, "--gpus", "256", "--gpu", "a100", "--json").json()
        #expect((plan["stages"] as? [[String: Any]])?.count == 3)
        let text = try Program.run("plan", "qwen2-vl-7b", "--gpus", "8", "--gpu", "h200")
        #expect(text.status == 0 && text.output.contains("8,291,375,616"))
        #expect(try Program.run("plan", recipe, "--gpu", "abacus").status == 2)
        #expect(try Program.run("plan", "no-such-size").status == 1)
        let refused = try Program.run("train", recipe)
        #expect(refused.status == 1 && refused.errors.contains("model.preset"))
    }
}
