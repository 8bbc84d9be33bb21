import ArgumentParser
import Evaluation
import Foundation
import Safetensors
import Terminal
import Torch
import Training

/// `omma ablate GRID`
struct AblateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ablate", abstract: "Train a grid of recipes with equal budgets, and compare them.",
        discussion: """
            A grid names a recipe and axes; each axis has choices that replace keys of the recipe or of the model's \
            config.json. Every combination is trained, and table.md, results.json and plot.png in the grid's output say \
            what came out. Run it again to go on where it stopped: finished cells are not run again.
            """)

    @Argument(help: "The grid, in YAML; see Recipes/ablations.", completion: .file(extensions: ["yaml", "yml"]))
    var grid: String

    @Flag(help: "Only list the cells, and check that their models can be built.")
    var dryRun = false

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Replace a value in the recipes of all cells. May be given again.", valueName: "key=value"))
    var replacements: [String] = []

    @Option(help: "Threads of one tensor operation.")
    var threads: Int?

    func run() throws {
        if let threads { Engine.threads = threads }
        let grid = try AblationGrid.load(URL(fileURLWithPath: Paths.expanded(grid)), overrides: replacements)
        let run = AblationRun(grid)
        if dryRun {
            try run.check()
            var table = Table(
                grid.axes.map { .init($0.name) } + [.init("steps", .right), .init("state"), .init("output")])
            for cell in grid.cells {
                table.add(
                    cell.choices + [
                        "\(cell.loaded.recipe.steps)", try run.state(of: cell).rawValue, cell.folder.relativePath,
                    ])
            }
            print(table.text())
            return
        }
        StopSignal.catchSignals()
        guard let results = try run.run() else {
            print("stopped; run the same command again to go on")
            return
        }
        let report = AblationReport(grid, results)
        let folder = URL(fileURLWithPath: grid.output)
        func write(_ bytes: Data, _ name: String) throws {
            try atomicWrite(folder.appendingPathComponent(name).path, bytes)
        }
        try write(Data(report.markdown.utf8), "table.md")
        try write(try report.json(), "results.json")
        try write(Data(try AblationPlot(report).png()), "plot.png")
        print(report.markdown)
        print("table.md, results.json and plot.png are in \(grid.output)")
    }
}
