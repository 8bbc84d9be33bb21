import ArgumentParser
import Data
import EmbeddedModel
import Foundation
import Models
import Terminal
import Torch
import Training

/// `omma finetune`: a model, a file of conversations, and a recipe between them.
struct FineTuneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "finetune", abstract: "Train a model further on conversations about your own pictures.",
        discussion: """
            Reads JSON lines (or one JSON list) in the `messages` format or LLaVA's, checks every row, writes \
            OUT/recipe.yaml and runs it. With --lora, the default, OUT holds an adapter that `omma chat --model` and \
            PEFT open and `omma merge` makes a part of the model.
            """)

    @Option(
        help: ArgumentHelp("The checkpoint to start from, or nano for the embedded model.", valueName: "dir"),
        completion: .directory) var model: String
    @Option(help: ArgumentHelp("The conversations.", valueName: "file"), completion: .file()) var data: String
    @Option(help: ArgumentHelp("The folder to make.", valueName: "dir"), completion: .directory) var out: String
    @Option(help: "Folder that names of pictures start from; that of the file unless said otherwise.")
    var images: String?
    @Option(help: "Pictures that no mark places: error, prepend or drop.") var unmarked = "error"
    @Option(help: ArgumentHelp("Conversations to measure on while training.", valueName: "file"), completion: .file())
    var heldOut: String?
    @Option(help: ArgumentHelp("Rank of the adapters.", valueName: "rank")) var lora = 16
    @Flag(help: "Let adapters learn the lengths of matrices' rows apart from directions (DoRA).") var dora = false
    @Flag(help: "Hold the matrices below adapters in 4 bits (QLoRA): less memory, more time.") var qlora = false
    @Flag(help: "Train the model itself in place of adapters.") var full = false
    @Option(
        help: ArgumentHelp(
            "What learns: tower, merger, embedding, decoder, head, or a pattern of names; may be repeated.",
            valueName: "part")) var train: [String] = []
    @Option(help: "How often each conversation is learned from.") var epochs = 3.0
    @Option(help: ArgumentHelp("Steps, in place of epochs.", valueName: "n")) var steps: Int?
    @Option(
        help: "Whose steps are taken: adamw, adafactor or muon, which learns faster where it trained the model, too.")
    var optimizer = Recipe.OptimizerKind.adamw.rawValue
    @Option(help: "The highest learning rate; it follows from the model's size without it.") var learningRate: Double?
    @Option(help: ArgumentHelp("Resize pictures to at most so many pixels.", valueName: "n")) var maxPixels: Int?
    @Option(help: "Equal seeds give equal models.") var seed: UInt64 = 0
    @Option(
        help: ArgumentHelp(
            "Where to compute: auto, cpu, cuda, cuda:N or mps. On the CPU, or where an earlier run was, without it.",
            valueName: "device"))
    var device: String?
    @Option(help: ArgumentHelp("CPU threads; one a core without it.", valueName: "n")) var threads: Int?
    @Flag(help: "Write the recipe, show three rows as the model reads them, and stop.") var dryRun = false
    @Flag(help: "Go on where an earlier run into the same folder stopped.") var resume = false
    @Flag(help: "Go on if an earlier run into the same folder left a checkpoint, else begin.") var resumeOrStart = false
    @Option(help: "Seconds that a rank waits for the others; of several ranks, see omma launch.")
    var rankTimeout = 120

    func validate() throws {
        try Device.validate(option: device)
        guard UnmarkedPictures(rawValue: unmarked) != nil else {
            throw ValidationError("--unmarked is one of error, prepend and drop")
        }
        guard Recipe.OptimizerKind(rawValue: optimizer) != nil else {
            throw ValidationError("--optimizer is one of adamw, adafactor and muon")
        }
        guard lora > 0 else { throw ValidationError("--lora is \(lora); it must be 1 or more") }
        for (name, value) in [("steps", steps), ("max-pixels", maxPixels), ("threads", threads)] {
            if let value, value < 1 { throw ValidationError("--\(name) is \(value); it must be 1 or more") }
        }
        guard epochs > 0, epochs <= 10_000 else { throw ValidationError("--epochs is \(epochs); above 0 is meant") }
        if let learningRate, !(0...10 ~= learningRate) {
            throw ValidationError("--learning-rate is \(learningRate); it must be from 0 to 10")
        }
        if full, dora || qlora { throw ValidationError("--dora and --qlora are of adapters, and --full has none") }
        guard 1...86_400 ~= rankTimeout else { throw ValidationError("--rank-timeout is a number from 1 to 86400") }
        if dryRun, resume || resumeOrStart { throw ValidationError("--dry-run and --resume are of no use together") }
    }

    private var output: URL { URL(fileURLWithPath: Paths.expanded(out)).standardizedFileURL }
    private var recipe: URL { output.appendingPathComponent("recipe.yaml") }

    func run() throws {
        if let threads { Engine.threads = threads }
        // Before ranks meet: see `Recipe.openDevice`.
        let device = try device.map { try Engine.device(named: $0) }
        if device == nil, resume || resumeOrStart, FileManager.default.fileExists(atPath: recipe.path) {
            try Recipe.load(recipe).recipe.openDevice()
        }
        LauncherWatch.start()
        let facts = [
            ("libtorch", Engine.version),
            (
                "the command",
                CommandLine.arguments.dropFirst().filter { $0 != "--resume-or-start" }.joined(separator: " ")
            ),
        ]
        try TrainCommand.together(facts: facts, timeout: rankTimeout) { try run(with: $0, on: device) }
    }

    /// - Parameter group: the processes that train together; rank 0 prepares for all.
    private func run(with group: ProcessGroup, on device: Device?) throws {
        // Checking a large file takes its time.
        let state = try group.fromMain("preparing", timeout: .seconds(3600)) {
            let goesOn = try resume || resumeOrStart && hasCheckpoint()
            if !goesOn { try prepare(ranks: group.size, device ?? .cpu) }
            return Data([goesOn ? 1 : 0])
        }
        if dryRun { return }
        guard FileManager.default.fileExists(atPath: recipe.path) else {
            throw CheckpointError.unseen(folder: output.path, rank: group.rank)
        }
        let loaded = try Recipe.load(recipe, overrides: device.map { ["device=\($0)"] } ?? [])
        let outcome = try TrainCommand.run(loaded, resume: state.first == 1, group: group)
        guard case .finished(let checkpoint) = outcome, group.isMain else { return }
        print("ask it:   omma chat --model \(checkpoint)")
        if !full { print("merge it: omma merge --adapter \(checkpoint) --out \(out)-merged") }
    }

    private func hasCheckpoint() throws -> Bool {
        try FileManager.default.fileExists(atPath: recipe.path) && Recipe.load(recipe).hasCheckpoint
    }

    /// Threads of a rank, where this machine's cores are shared.
    private var share: Int {
        let ranks = ProcessInfo.processInfo.environment["LOCAL_WORLD_SIZE"].flatMap { Int($0) } ?? 1
        return threads ?? max(1, ProcessInfo.processInfo.activeProcessorCount / max(1, ranks))
    }

    /// Checks the data and writes the recipe.
    private func prepare(ranks: Int, _ device: Device) throws {
        var tuning = FineTuning(
            model: model == "nano" ? try EmbeddedModel.folder() : URL(fileURLWithPath: Paths.expanded(model)),
            data: URL(fileURLWithPath: Paths.expanded(data)), output: output,
            threads: share)
        tuning.ranks = ranks
        tuning.images = images.map { URL(fileURLWithPath: Paths.expanded($0)) }
        tuning.unmarked = UnmarkedPictures(rawValue: unmarked) ?? .error
        tuning.heldOut = heldOut.map { URL(fileURLWithPath: Paths.expanded($0)) }
        tuning.rank = full ? nil : lora
        tuning.isWeightDecomposed = dora
        tuning.hasQuantizedBase = qlora
        tuning.parts = train
        tuning.epochs = epochs
        tuning.steps = steps
        tuning.optimizer = Recipe.OptimizerKind(rawValue: optimizer) ?? .adamw
        tuning.learningRate = learningRate
        tuning.maxPixels = maxPixels
        tuning.seed = seed
        tuning.device = device
        for url in [tuning.data] + [tuning.heldOut].compactMap(\.self) { try check(url, tuning) }
        let plan = try tuning.plan()
        let said = TerminalOutput.standardError
        said.line(
            "\(Format.grouped(plan.rows)) conversations of \(Format.decimal(plan.meanTokens, 0)) tokens on average, at "
                + "most \(Format.grouped(plan.longest)) among those looked at; \(Format.grouped(plan.steps)) steps of "
                + "about \(Format.decimal(plan.samplesPerStep, 0)) at a rate of \(plan.learningRate)")
        if FileManager.default.fileExists(atPath: output.appendingPathComponent("latest").path) {
            throw CheckpointError.exists(folder: output.path)
        }
        try FileManager.default.createDirectory(at: output, withIntermediateDirectories: true)
        try Data(plan.recipe.utf8).write(to: recipe, options: .atomic)
        said.line("the recipe is \(recipe.path)")
        if dryRun {
            for (number, sequence) in plan.examples.enumerated() {
                try SupervisedText.show(
                    sequence, plan.processor.tokenizer, title: "row \(number + 1)", on: .standardOutput)
            }
        }
    }

    /// Stops with all that is wrong with a file, before anything is loaded.
    private func check(_ url: URL, _ tuning: FineTuning) throws {
        let file = try ConversationFile(url, images: tuning.images, unmarked: tuning.unmarked)
        let bar = ProgressBar("checking \(url.lastPathComponent)", total: file.count, unit: "row")
        let problems = file.problems { bar.update(to: $0) }
        bar.finish()
        guard !problems.isEmpty else { return }
        for problem in problems.prefix(20) { TerminalOutput.standardError.line("\(problem)") }
        if problems.count > 20 { TerminalOutput.standardError.line("and \(problems.count - 20) more") }
        throw UnusableRows(file: url.lastPathComponent, unusable: problems.count, all: file.count)
    }

    private struct UnusableRows: Error, CustomStringConvertible {
        var file: String
        var unusable: Int
        var all: Int

        var description: String {
            "\(unusable) of \(all) rows of \(file) cannot be used; mend or remove them (omma data check lists all)"
        }
    }
}
