import ArgumentParser
import Foundation
import Terminal
import Torch
import Training

/// `omma check RECIPE`: what would go wrong, before it does.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Try a recipe out before it runs: data, gradients, memory, time.",
        discussion: """
            Looks at every row of the data, packs a few batches, renders two samples with the tokens that are learned, \
            computes the loss with pictures and with noise in their place, asks for a gradient wherever something \
            learns, and measures the memory of the largest row. Nothing is learned and nothing is kept. Exit status 1 \
            if the run would learn nothing, or learn without its pictures.
            """)

    @Argument(help: "The recipe, in YAML.", completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String
    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Replace a value of the recipe, as `omma train` does.", valueName: "key=value"))
    var replacements: [String] = []
    @Option(help: "Where data lies that the recipe names by its role.", completion: .file(extensions: ["yaml", "yml"]))
    var catalogue: String?
    @Option(help: "Rows to pack for each stage.") var rows = 8
    @Option(help: ArgumentHelp(TrainCommand.deviceHelp, valueName: "device")) var device: String?
    @Option(help: "Threads of one tensor operation.") var threads: Int?
    @Flag(help: "Print one JSON object.") var json = false

    private struct Report: Encodable {
        var data: [DataCheck]
        var stages: [StageCheck]
        var freeBytes: Int?
    }

    func validate() throws {
        try Device.validate(option: device)
        guard 1...10_000 ~= rows else { throw ValidationError("--rows is a number from 1 to 10000") }
        guard threads.map({ 1...1024 ~= $0 }) ?? true else { throw ValidationError("--threads is 1 to 1024") }
    }

    func run() throws {
        if let threads { Engine.threads = threads }
        let scratch = FileManager.default.temporaryDirectory.appending(
            path: "omma-check-\(ProcessInfo.processInfo.processIdentifier)")
        defer { try? FileManager.default.removeItem(at: scratch) }
        let url = URL(filePath: Paths.expanded(recipe)), catalogue = catalogue.map { URL(filePath: Paths.expanded($0)) }
        let replacements = try replacements + TrainCommand.replacement(device: device)
        let written = try Recipe.load(url, overrides: replacements, catalogue: catalogue).recipe
        let free = Self.freeBytes(near: URL(filePath: written.output))
        let loaded = try Recipe.load(url, overrides: replacements + ["output=\(scratch.path)"], catalogue: catalogue)
        try loaded.recipe.requireSupport()
        try loaded.recipe.openDevice()
        guard loaded.recipe.objective == nil else {
            throw RecipeError(file: url.path, key: "objective", reason: "is an encoder's, which are not checked")
        }

        let output = TerminalOutput.standardOutput
        var bar: ProgressBar?, name = ""
        let data = try DataCheck.all(loaded.recipe) { file, rows, done in
            if file != name {
                bar?.finish()
                bar = ProgressBar("checking", total: rows, unit: "row")
                name = file
            }
            bar?.update(to: done)
        }
        bar?.finish()
        // From before there is a model, so that all of it counts.
        TensorMemory.count(true)
        let trainer = try Trainer(loaded, resume: false, observer: Silence())
        let stages = try trainer.check(rows: rows)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            encoder.nonConformingFloatEncodingStrategy = .convertToString(
                positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
            let report = Report(data: data, stages: stages, freeBytes: free)
            output.line(String(decoding: try encoder.encode(report), as: UTF8.self))
        } else {
            CheckText(output, keep: loaded.recipe.keep, threads: loaded.recipe.threads, free: free).write(data, stages)
        }
        let wrong = data.contains { !$0.wrong.isEmpty }
        if wrong || stages.contains(where: { !$0.problems.isEmpty }) { throw ExitCode(1) }
    }

    private static func freeBytes(near folder: URL) -> Int? {
        var folder = folder.standardizedFileURL
        while !FileManager.default.fileExists(atPath: folder.path), folder.path != "/" {
            folder.deleteLastPathComponent()
        }
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: folder.path)
        return (attributes?[.systemFreeSize] as? NSNumber)?.intValue
    }
}

/// Nobody watches a check.
private final class Silence: TrainingObserver {
    func begin(_ run: RunFacts) {}
    func begin(_ stage: StageSummary) {}
    func step(_ record: StepRecord) {}
    func evaluation(_ record: EvaluationRecord) {}
    func answers(_ answers: [SampleAnswer], step: Int) {}
    func checkpoint(_ folder: URL, step: Int) {}
    func skipped(_ samples: [SkippedSample], step: Int) {}
    func note(_ line: String) { TerminalOutput.standardError.warn(line) }
}
