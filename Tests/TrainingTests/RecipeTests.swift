import Data
import Foundation
import Models
import TestSupport
import Testing

@testable import Training

@Suite("Recipes")
struct RecipeTests {
    private static let text = """
        name: small
        model:
          random: model
        stages:
          - name: one
            train: [merger, "model.layers.0.*"]
            steps: 10
            learning_rate: 0.001
            schedule: {kind: cosine, warmup_steps: 2, final_ratio: 0.1}
            batch: {tokens: 100}
            data:
              - synthetic: {tasks: {text: 2, box: 1}}
        """

    private func parse(_ text: String, _ overrides: [String] = []) throws -> Recipe {
        try Recipe.parse(text, file: "r.yaml", folder: URL(fileURLWithPath: "/recipes"), overrides: overrides).recipe
    }

    private func error(_ text: String, _ overrides: [String] = []) throws -> RecipeError {
        try #require(throws: RecipeError.self) { try parse(text, overrides) }
    }

    @Test("Everything that is written is read, and paths start at the recipe")
    func reads() throws {
        let recipe = try parse(Self.text)
        #expect(recipe.model.start == .random("/recipes/model"))
        #expect(recipe.stages[0].train == ["merger", "model.layers.0.*"])
        #expect(recipe.stages[0].schedule == .init(kind: .cosine, warmupSteps: 2, finalRatio: 0.1))
        #expect(recipe.stages[0].batch.accumulation == 1)
        guard case .synthetic(let options, let spells) = recipe.stages[0].data[0].kind else {
            return #expect(Bool(false))
        }
        #expect(!spells && options.weights == [.text: 2, .box: 1])
        #expect(recipe.output == "runs/small" && recipe.precision == .f32)
    }

    @Test("A misspelled key is an error with its line and path")
    func unknownKey() throws {
        let found = try error(Self.text.replacingOccurrences(of: "steps: 10", with: "steps: 10\n    stesp: 3"))
        #expect(found.line == 8)
        #expect(found.key == "stages.0.stesp")
        #expect(found.reason.contains("learning_rate"))
    }

    @Test(
        "Mistakes name their key",
        arguments: [
            ("learning_rate: 0.001", "learning_rate: fast", "stages.0.learning_rate"),
            ("steps: 10", "steps: -1", "stages.0.steps"), ("steps: 10\n", "\n", "stages.0.steps"),
            ("kind: cosine", "kind: sinus", "stages.0.schedule.kind"),
            ("tasks: {text: 2", "tasks: {txt: 2", "stages.0.data.0.synthetic.tasks.txt"),
            ("random: model", "random: model\n  checkpoint: other", "model.checkpoint"),
            ("batch: {tokens: 100}", "batch: 100", "stages.0.batch"), ("name: small", "name: small\nname: two", "name"),
            ("name: small", "name: small\nprecision: fp8", "precision"),
            ("warmup_steps: 2", "warmup_steps: 11", "stages.0.schedule"),
            ("    steps: 10", "    steps: 10\n    evaluate_every: 5", "held_out"),
        ])
    func mistakes(_ old: String, _ new: String, _ key: String) throws {
        #expect(try error(Self.text.replacingOccurrences(of: old, with: new)).key == key)
    }

    @Test("Replacements reach into lists by number and by name")
    func overrides() throws {
        let recipe = try parse(
            Self.text,
            [
                "stages.one.steps=20", "stages.0.batch.tokens=7", "seed=9", "model.max_pixels=5000",
                "stages.one.data.0.synthetic.tasks={color: 1}", "output=/tmp/elsewhere",
            ])
        #expect(recipe.stages[0].steps == 20 && recipe.stages[0].batch.tokens == 7 && recipe.seed == 9)
        #expect(recipe.model.maxPixels == 5000 && recipe.output == "/tmp/elsewhere")
        #expect(try error(Self.text, ["stages.two.steps=3"]).key == "stages.two")
        #expect(try error(Self.text, ["stages.one.setps=3"]).key == "stages.0.setps")
        #expect(try error(Self.text, ["steps"]).reason.contains("KEY=VALUE"))
    }

    @Test("What is no recipe at all is refused", arguments: ["", "- a\n- b", "name: [", "42"])
    func nonsense(_ text: String) throws { _ = try error(text) }

    @Test("Patterns choose parts and names")
    func patterns() {
        func part(_ name: String) -> ModelPart {
            name.hasPrefix("visual.merger.") ? .connector : name.hasPrefix("visual.") ? .visionTower : .decoder
        }
        let selection = ParameterSelection(["tower", "model.layers.*.mlp.*"], part: part)
        #expect(selection.contains("visual.blocks.0.norm1.weight"))
        #expect(!selection.contains("visual.merger.ln_q.weight"))
        #expect(selection.contains("model.layers.3.mlp.up_proj.weight"))
        #expect(!selection.contains("model.layers.3.self_attn.q_proj.weight"))
        #expect(ParameterSelection(["tower", "nothing.*"], part: part).idle(among: ["visual.x"]) == ["nothing.*"])
    }
}
