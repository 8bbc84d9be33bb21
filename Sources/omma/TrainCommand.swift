import ArgumentParser
import Foundation
import Torch
import Training

/// `omma train RECIPE`
struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Run a training recipe.",
        discussion: """
            A recipe names the model, the stages, what each of them trains and on what data; see Recipes/. Checkpoints
            in the run's output folder can be opened by `omma chat` and by other readers of Hugging Face's layout.
            """)

    @Argument(help: "The recipe, in YAML.", completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String

    @Flag(help: "Go on from the newest whole checkpoint of the recipe's output.")
    var resume = false

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp(
            "Replace a value of the recipe, as in stages.align.steps=100. May be given again.", valueName: "key=value"))
    var replacements: [String] = []

    @Option(
        help: "Where data lies that the recipe names by its role: a file in YAML, see docs/recipes.md.",
        completion: .file(extensions: ["yaml", "yml"]))
    var catalogue: String?

    @Option(help: "Threads of one tensor operation.")
    var threads: Int?

    func run() throws {
        if let threads { Engine.threads = threads }
        let loaded = try Recipe.load(
            URL(fileURLWithPath: recipe), overrides: replacements,
            catalogue: catalogue.map { URL(filePath: Paths.expanded($0)) })
        _ = try Self.run(loaded, resume: resume)
    }

    /// Runs a recipe with its log on the terminal and in its output folder, and says how it ended.
    static func run(_ loaded: Recipe.Loaded, resume: Bool) throws -> Trainer.Outcome {
        // Before the run's folder is made.
        try loaded.recipe.requireSupport()
        let log = try RunLog(folder: URL(fileURLWithPath: loaded.recipe.output), resuming: resume)
        defer { log.finish() }
        StopSignal.catchSignals()
        let trainer = try loaded.trainer(resume: resume, observer: log)
        let outcome = try trainer.run()
        log.finish()
        switch outcome {
        case .finished(let checkpoint): print("finished; the model is in \(checkpoint)")
        case .stopped(let checkpoint, let signal):
            print("stopped by \(signal ?? "request"); all is in \(checkpoint), go on with --resume")
        }
        return outcome
    }
}
