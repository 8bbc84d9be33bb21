import Data
import Foundation
import Models
import TestSupport
import Testing

@testable import Training

/// The recipes that the repository carries.
@Suite struct PublishedRecipeTests {
    static let folder = Fixtures.checkout.appending(path: "Recipes")

    /// All of them, by their paths in the folder.
    static let all: [String] = {
        let walker = FileManager.default.enumerator(atPath: folder.path)
        return (walker?.allObjects as? [String] ?? []).filter { $0.hasSuffix(".yaml") && !$0.hasPrefix("ablations/") }
            .sorted()
    }()

    @Test func everySystemHasOne() {
        let systems = Set(Self.all.compactMap { $0.split(separator: "/").first.map(String.init) })
        #expect(systems == ["internvl2", "mm1", "navit", "nano", "nvlm", "points", "qwen-vl", "qwen2-vl"])
    }

    @Test(arguments: all) func canBeReadAndPlanned(_ path: String) throws {
        let recipe = try Recipe.load(Self.folder.appending(path: path)).recipe
        let accelerator = try #require(Accelerator.named("h100"))
        let plan = try RunPlan(recipe, RunPlan.Options(accelerator, devices: 64))
        #expect(plan.stages.count == recipe.stages.count)
        for stage in plan.stages {
            #expect(stage.learning > 0 && stage.learning <= plan.parameters && stage.learningRate > 0)
            #expect(stage.days > 0 && stage.days < 1000 && stage.memory.total > 0, "\(stage)")
            #expect(stage.operations.forward > 0 && stage.operations.backward > 0)
        }
    }

    /// What the trainer would not do as written is refused with its key; nano's is done.
    @Test(arguments: all) func whatIsNotDoneIsRefused(_ path: String) throws {
        let recipe = try Recipe.load(Self.folder.appending(path: path)).recipe
        let problems = recipe.unsupported()
        if path.hasPrefix("nano/") {
            #expect(problems.isEmpty)
            return
        }
        #expect(problems.contains { $0.hasPrefix("model.") })
        for stage in recipe.stages where stage.pictures?.side != nil {
            #expect(problems.contains { $0.hasPrefix("stages.\(stage.name).pictures.side:") })
        }
        #expect(throws: TrainingError.self) { try recipe.requireSupport() }
    }

    @Test func ratesOfMM1AreThePublishedOnes() throws {
        let url = Self.folder.appending(path: "mm1/mm1.yaml")
        let accelerator = try #require(Accelerator.named("h100"))
        for (size, rate) in [("3b", 6e-5), ("7b", 4e-5), ("30b", 2e-5), ("3b-moe-64e", 6e-5), ("7b-moe-32e", 4e-5)] {
            let recipe = try Recipe.load(url, overrides: ["model.preset=mm1-\(size)"]).recipe
            let planned = try RunPlan(recipe, RunPlan.Options(accelerator, devices: 256)).stages[0].learningRate
            #expect(abs(planned / rate - 1) < 0.12, "\(size): \(planned)")
        }
    }

    @Test func inverseSquareRoot() {
        let schedule = LearningRateSchedule(
            kind: .inverseSquareRoot, warmupSteps: 10, decaySteps: 20, timescale: 30)
        #expect(schedule.factor(step: 4, of: 200) == 0.5)
        #expect(schedule.factor(step: 10, of: 200) == 1)
        #expect(abs(schedule.factor(step: 40, of: 200) - 0.5.squareRoot()) < 1e-12)
        let full = LearningRateSchedule(kind: .inverseSquareRoot, warmupSteps: 10, timescale: 30)
        #expect(abs(schedule.factor(step: 190, of: 200) - full.factor(step: 190, of: 200) / 2) < 1e-12)
    }

    @Test func ratesFallTowardsTheFirstLayer() {
        let names = ["v.patch", "v.blocks.0.w", "v.blocks.1.w", "v.blocks.2.w", "v.norm", "d.layers.0.w"]
        let decay = LayerDecay([.init(pattern: "tower", factor: 0.5)], names: names) {
            $0.hasPrefix("v.") ? "tower" : "decoder"
        }
        #expect(names.map(decay.factor) == [0.125, 0.25, 0.5, 1, 1, 1])
    }
}

/// Where data lies.
@Suite struct DataCatalogueTests {
    private static let recipe = """
        name: small
        model: {random: model}
        stages:
          - name: one
            train: all
            steps: 10
            learning_rate: 0.001
            batch: {tokens: 100}
            data:
              - {role: captions, weight: 3}
              - {role: text, weight: 2}
              - synthetic: {}
        """

    private func load(_ catalogue: String, in folder: TemporaryFolder) throws -> Recipe {
        try folder.write("recipe.yaml", Data(Self.recipe.utf8))
        try folder.write("catalogue.yaml", Data(catalogue.utf8))
        return try Recipe.load(
            folder.url.appending(path: "recipe.yaml"), catalogue: folder.url.appending(path: "catalogue.yaml")
        ).recipe
    }

    @Test func rolesBecomeFiles() throws {
        let folder = try TemporaryFolder()
        let recipe = try load(
            """
            captions:
              - {jsonl: a.jsonl, weight: 2, images: /pictures}
              - {jsonl: /data/b.jsonl, unmarked_pictures: prepend}
            text: {jsonl: deep/c.jsonl}
            """, in: folder)
        let data = recipe.stages[0].data
        #expect(data.map(\.weight) == [2, 1, 2, 1])
        let base = folder.url.standardizedFileURL.path
        #expect(data[0].kind == .messages(file: "\(base)/a.jsonl", images: "/pictures", unmarked: .error))
        #expect(data[1].kind == .messages(file: "/data/b.jsonl", images: "/data", unmarked: .prepend))
        #expect(data[2].kind == .messages(file: "\(base)/deep/c.jsonl", images: "\(base)/deep", unmarked: .error))
        #expect(recipe.unsupported() == [])
    }

    @Test func whatIsMissingIsNamed() throws {
        let recipe = try load("captions: {jsonl: a.jsonl}", in: TemporaryFolder())
        let problems = recipe.unsupported()
        #expect(problems.count == 1 && problems[0].hasPrefix("stages.one.data.1.role:"))
        #expect(problems[0].contains("'text'"))
    }

    @Test(arguments: [
        ("captions: {jsonl: a.jsonl, wieght: 2}", "captions.wieght", 1),
        ("text: {jsonl: a.jsonl}\ncaptions: {images: here}", "captions.jsonl", 2),
        ("captions: {role: text}", "captions.role", 1),
        ("- a", "", 1),
    ])
    func mistakesAreTold(_ catalogue: String, _ key: String, _ line: Int) throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: RecipeError.self) { try load(catalogue, in: folder) }
        #expect(
            error?.key == key && error?.line == line && error?.file.hasSuffix("catalogue.yaml") == true, "\(error!)")
    }
}
