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

    @Flag(help: "Go on from the newest whole checkpoint if there is one, else begin.")
    var resumeOrStart = false

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp(
            "Replace a value of the recipe, as in stages.align.steps=100. May be given again.", valueName: "key=value"))
    var replacements: [String] = []

    @Option(
        help: "Where data lies that the recipe names by its role: a file in YAML, see docs/recipes.md.",
        completion: .file(extensions: ["yaml", "yml"]))
    var catalogue: String?

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A field of the recipe that may differ from the checkpoint's, as in stages.align.data. May be given again.",
            valueName: "field"))
    var allowChange: [String] = []

    @Option(help: ArgumentHelp(Self.deviceHelp, valueName: "device"))
    var device: String?

    @Option(help: "Threads of one tensor operation.")
    var threads: Int?

    @Option(help: "Seconds that a rank waits for the others; of several ranks, see omma launch.")
    var rankTimeout = 120

    func validate() throws {
        try Device.validate(option: device)
        guard 1...86_400 ~= rankTimeout else { throw ValidationError("--rank-timeout is a number from 1 to 86400") }
        guard allowChange.isEmpty || resume || resumeOrStart else {
            throw ValidationError("--allow-change is about a run that goes on; give --resume, too")
        }
    }

    func run() throws {
        if let threads { Engine.threads = threads }
        LauncherWatch.start()
        var loaded = try Recipe.load(
            URL(fileURLWithPath: recipe), overrides: try replacements + Self.replacement(device: device),
            catalogue: catalogue.map { URL(filePath: Paths.expanded($0)) })
        loaded.allowedChanges = Set(allowChange)
        let resume = resume || resumeOrStart && loaded.hasCheckpoint
        try loaded.recipe.requireSupport()
        try loaded.recipe.openDevice()
        try Self.together(facts: loaded.facts, timeout: rankTimeout) { [loaded] group in
            _ = try Self.run(loaded, resume: resume, group: group)
        }
    }

    static let deviceHelp =
        "Where to compute, in place of the recipe's own: auto, cpu, cuda, cuda:N or mps."

    /// What `--device` replaces in a recipe.
    static func replacement(device: String?) throws -> [String] {
        try device.map { ["device=\(try Engine.device(named: $0))"] } ?? []
    }

    /// Runs `body` with the other ranks where something started several, else alone.
    ///
    /// - Parameters:
    ///   - facts: what must be the same on all.
    ///   - timeout: seconds that a rank waits for the others.
    static func together(
        facts: [(name: String, value: String)], timeout: Int, _ body: (ProcessGroup) throws -> Void
    ) throws {
        guard let place = try ProcessPlace(environment: ProcessInfo.processInfo.environment) else {
            return try body(.alone)
        }
        let group = try ProcessGroup(joining: place, facts: facts, timeout: .seconds(timeout))
        do {
            // Whoever ends at once, as over a mistake in the recipe, must not cut off those that are still connecting.
            try group.barrier(for: "meeting the others")
            try body(group)
            try group.barrier(for: "ending together")
        } catch {
            group.leave(because: error)
            throw error
        }
    }

    /// Runs a recipe with its log on the terminal and in its output folder, and says how it ended.
    ///
    /// - Parameter group: the processes that train together; rank 0 alone writes and speaks.
    static func run(_ loaded: Recipe.Loaded, resume: Bool, group: ProcessGroup = .alone) throws -> Trainer.Outcome {
        // Before the run's folder is made.
        try loaded.recipe.requireSupport()
        StopSignal.catchSignals()
        guard group.isMain else {
            return try loaded.trainer(resume: resume, observer: SilentObserver(), group: group).run()
        }
        let log = try RunLog(folder: URL(fileURLWithPath: loaded.recipe.output))
        defer { log.finish() }
        let trainer = try loaded.trainer(resume: resume, observer: log, group: group)
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
