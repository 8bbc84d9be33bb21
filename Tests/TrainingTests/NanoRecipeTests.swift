import Data
import Foundation
import Media
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

/// The small models of `Recipes/nano`, and how they are measured without eyes.
@Suite("Nano recipes")
struct NanoRecipeTests {
    private static let folder = Fixtures.checkout.appending(path: "Recipes/nano")
    static let systems = [
        "internvl2", "mm1", "mm1-moe", "nvlm-d", "nvlm-h", "nvlm-x", "points", "qwen-vl", "qwen2-vl",
    ]

    private func load(_ name: String, _ overrides: [String] = []) throws -> Recipe.Loaded {
        try Recipe.load(Self.folder.appending(path: "\(name).yaml"), overrides: overrides)
    }

    @Test("A folder without weights and a shared vocabulary make a model that learns", arguments: systems)
    func learns(_ name: String) throws {
        let output = try TemporaryFolder()
        let recorder = Recorder()
        let trainer = try Trainer(
            load(
                name,
                [
                    "output=\(output.path("run"))", "stages.lesson.steps=2",
                    "stages.lesson.schedule={kind: constant}",
                    "stages.lesson.batch={tokens: 2048, max_samples: 2, look_ahead: 2}", "held_out.samples=2",
                    "stages.lesson.evaluate_every=2", "threads=1",
                ]), resume: false, observer: recorder)
        _ = try trainer.run()
        let record = try #require(recorder.evaluations.last)
        let blind = try #require(record.blind)
        #expect(record.loss.isFinite && blind.loss.isFinite && record.loss != blind.loss)
        // All but the resampler's features are also told what stands where.
        #expect(recorder.steps.allSatisfy { ($0.report.regionLoss != nil) == (name != "qwen-vl") })
        // The checkpoint is a whole model's folder.
        let folder = try ModelFolder(output.url.appending(path: "run/step-000002"))
        #expect(try folder.loadModel().store.parameters.count == trainer.model.store.parameters.count)
        #expect(trainer.parameterCount < 12_000_000)
    }

    @Test("What sees all patches at once is not told what stands where")
    func resamplersHaveNoPlaces() throws {
        let output = try TemporaryFolder()
        for (name, changes) in [
            ("qwen-vl", ["stages.lesson.regions={weight: 1}"]),
            ("mm1", ["model.config={connector: {type: attention-pool, hidden_size: null, depth: null}}"]),
        ] {
            let loaded = try load(name, ["output=\(output.path(name))", "held_out.samples=1"] + changes)
            let error = #expect(throws: TrainingError.self) {
                try Trainer(loaded, resume: false, observer: Recorder()).run()
            }
            #expect(error?.description.contains("no places") == true)
        }
    }

    @Test("Noise hides pictures and leaves words and sizes as they are")
    func blind() throws {
        let source = try SyntheticSource(SyntheticOptions(seed: 4, sides: 112...140))
        let seen = try source.sample(at: 3), hidden = try BlindSource(source).sample(at: 3)
        #expect(seen.conversation.map(\.text) == hidden.conversation.map(\.text))
        guard case .image(let picture)? = seen.conversation.first?.parts.first,
            case .image(let noise)? = hidden.conversation.first?.parts.first
        else { return #expect(Bool(false), "no picture") }
        #expect(picture.width == noise.width && picture.height == noise.height && picture != noise)
        #expect(hidden.regions.isEmpty)
        // Bytes of noise are spread evenly, and equal in every run.
        let mean = Double(noise.pixels.reduce(0) { $0 + Int($1) }) / Double(noise.pixels.count)
        #expect(abs(mean - 127.5) < 3)
        #expect(try BlindSource(source).sample(at: 3).conversation == hidden.conversation)
    }

    @Test("Patterns with a ! take parameters away again")
    func exclusions() {
        let selection = ParameterSelection(["all", "!tower.norm.*"]) { _ in .visionTower }
        #expect(selection.contains("tower.layer.weight") && !selection.contains("tower.norm.weight"))
        #expect(selection.idle(among: ["tower.norm.bias"]).isEmpty)
        #expect(selection.idle(among: ["tower.layer.weight"]) == ["!tower.norm.*"])
    }

    @Test("Fields of config.json are replaced one by one, and null takes one away")
    func mergedConfiguration() throws {
        let loaded = try load("mm1", ["model.config={connector: {type: average-pool, hidden_size: null, depth: null}}"])
        let folder = try TemporaryFolder()
        try loaded.recipe.model.copyFiles(to: folder.url)
        let text = try Data(contentsOf: folder.url.appending(path: "config.json"))
        let object = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
        let connector = try #require(object["connector"] as? [String: Any])
        #expect(connector["type"] as? String == "average-pool" && connector["tokens"] as? Int == 16)
        #expect(connector.count == 2)
        #expect(try ModelFolder(folder.url).family.description(of: .connector)?.isEmpty == false)
        #expect(throws: RecipeError.self) {
            try load("mm1", ["model={checkpoint: models/mm1, config: {image_size: 56}}"])
        }
    }
}
