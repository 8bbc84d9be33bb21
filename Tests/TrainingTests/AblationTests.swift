import Foundation
import Models
import Terminal
import TestSupport
import Testing

@testable import Training

/// Grids of recipes over the tiny model.
@Suite("Grids of recipes", .serialized)
struct AblationTests {
    private static let recipe = """
        name: tiny
        model: {random: \(TinyModel.folder.path)}
        held_out:
          samples: 4
          blind: true
          data:
            - synthetic: {seed: 9, sides: [112, 140], difficulty: 0, tasks: {color: 1}}
        stages:
          - name: lesson
            train: all
            steps: 2
            learning_rate: 1.0e-3
            batch: {tokens: 900, max_samples: 2}
            evaluate_every: 2
            data:
              - synthetic: {seed: 1, sides: [112, 140], difficulty: 0, tasks: {color: 1}}
        """

    private static let axes = """
        axes:
          depth: {key: model.config.num_hidden_layers, set: [1, 2]}
          data:
            set:
              colours: []
              shapes: ["stages.lesson.data.0.synthetic.tasks={shape: 1}"]
        """

    private func grid(_ folder: TemporaryFolder, _ text: String? = nil, _ overrides: [String] = []) throws
        -> AblationGrid
    {
        try Self.recipe.write(to: folder.url.appending(path: "recipe.yaml"), atomically: true, encoding: .utf8)
        let file = folder.url.appending(path: "grid.yaml")
        let head = "name: tiny-grid\nrecipe: recipe.yaml\noutput: \(folder.path("out"))\n"
        try (head + (text ?? Self.axes)).write(to: file, atomically: true, encoding: .utf8)
        return try AblationGrid.load(file, overrides: overrides)
    }

    @Test("Every combination is a cell with a recipe of its own")
    func cells() throws {
        let folder = try TemporaryFolder()
        let grid = try grid(folder, nil, ["stages.lesson.steps=3"])
        #expect(grid.axes.map(\.name) == ["depth", "data"])
        #expect(
            grid.cells.map(\.choices) == [["1", "colours"], ["1", "shapes"], ["2", "colours"], ["2", "shapes"]])
        #expect(grid.cells.allSatisfy { $0.loaded.recipe.steps == 3 })
        #expect(grid.cells[3].loaded.recipe.model.configuration == .object(["num_hidden_layers": .number(2)]))
        #expect(Set(grid.cells.map(\.folder)).count == 4)
        #expect(grid.cells[0].folder.path.hasPrefix(folder.path("out")))
    }

    @Test("A grid is trained once, stopped and gone on with, and ends in one table")
    func runs() throws {
        let folder = try TemporaryFolder()
        let grid = try grid(folder)
        let run = AblationRun(grid, output: TerminalOutput(descriptor: -1))
        #expect(try run.state(of: grid.cells[0]) == .new)
        let results = try #require(try run.run())
        #expect(results.map(\.choices) == grid.cells.map(\.choices))
        #expect(results.allSatisfy { $0.steps == 2 && $0.pictures == 4 && $0.loss.isFinite && $0.blindLoss != nil })
        #expect(results[0].parameters < results[2].parameters, "more layers")
        #expect(results[0].loss != results[1].loss, "other data")
        #expect(try run.state(of: grid.cells[3]) == .done)

        // Nothing is trained again. A cell whose result is gone has a whole run: only the result is new.
        let log = grid.cells[0].folder.appending(path: "log.jsonl")
        let before = try Data(contentsOf: log)
        try FileManager.default.removeItem(at: grid.cells[2].folder.appending(path: "result.json"))
        #expect(try run.state(of: grid.cells[2]) == .started)
        #expect(try run.run() == results)
        #expect(try Data(contentsOf: log) == before)

        let report = AblationReport(grid, results)
        #expect(report.markdown.contains("| depth | data | loss | right | blind loss | blind right | parameters |"))
        #expect(report.markdown.split(separator: "\n").count { $0.hasPrefix("| 1 |") } == 2)
        #expect(report.hasEqualBudgets)
        let mean = try #require(report.means.first { $0.axis == "data" && $0.choice == "shapes" })
        #expect(mean.cells == 2 && abs(mean.loss - (results[1].loss + results[3].loss) / 2) < 1e-9)
        #expect(try JSONSerialization.jsonObject(with: report.json()) is [String: Any])
    }

    @Test("Another recipe for a cell that is done is an error, not a mixture of two grids")
    func changed() throws {
        let folder = try TemporaryFolder()
        let text = "axes:\n  depth: {key: model.config.num_hidden_layers, set: [1]}\n"
        _ = try AblationRun(grid(folder, text), output: TerminalOutput(descriptor: -1)).run()
        let error = try #require(throws: AblationError.self) {
            try AblationRun(
                grid(folder, text, ["stages.lesson.learning_rate=0.5"]), output: TerminalOutput(descriptor: -1)
            )
            .run()
        }
        #expect(error.description.contains("learning_rate: 0.5"))
    }

    @Test(
        "Mistakes name the file, the key and the cell",
        arguments: [
            ("axes: {}", "axes is missing"),
            ("axes:\n  a: {set: [1, 2]}", "axes.a.key is missing"),
            ("axes:\n  a: {key: seed, set: [1, 1]}", "has '1' twice"),
            ("axes:\n  a: {key: sede, set: [1]}", "in the cell 1"),
            ("axes:\n  a: {set: {x: [\"seed\"]}}", "'seed' is not KEY=VALUE"),
            (
                "axes:\n  a: {key: stages.lesson.evaluate_every, set: [0]}",
                "evaluate_every of the last stage are needed"
            ),
            ("axes:\n  a: {key: seed, set: {x/y: [seed=1], x y: [seed=2]}}", "key is not known"),
            ("axes:\n  a: {set: {x/y: [seed=1], x y: [seed=2]}}", "two cells named a=x-y"),
        ])
    func mistakes(_ text: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: RecipeError.self) { try grid(folder, text) }
        #expect(error.description.contains(words), "\(error)")
    }

    @Test("Cells whose model cannot be built are told before any is trained")
    func impossibleModels() throws {
        let folder = try TemporaryFolder()
        let grid = try grid(folder, "axes:\n  heads: {key: model.config.num_attention_heads, set: [6, 7]}\n")
        let error = try #require(throws: AblationError.self) {
            try AblationRun(grid, output: TerminalOutput(descriptor: -1)).run()
        }
        #expect(error.description.contains("cell 7") && error.description.contains("num_attention_heads"))
        #expect(!FileManager.default.fileExists(atPath: grid.cells[0].folder.path))
    }
}
