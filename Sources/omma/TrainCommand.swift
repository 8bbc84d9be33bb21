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

    @Option(help: "Threads of one tensor operation.")
    var threads: Int?

    func run() throws {
        Engine.keepFreedMemory()
        if let threads { Engine.threads = threads }
        let loaded = try Recipe.load(URL(fileURLWithPath: recipe), overrides: replacements)
        let observer = ConsoleObserver()
        StopSignal.catchSignals()
        let trainer = try Trainer(loaded, resume: resume, observer: observer)
        switch try trainer.run() {
        case .finished(let checkpoint): print("finished; the model is in \(checkpoint)")
        case .stopped(let checkpoint, let signal):
            print("stopped by \(signal ?? "request"); all is in \(checkpoint), go on with --resume")
        }
    }
}

/// Prints a line at once, also where the output is a file that somebody follows.
private func print(_ line: String) {
    Swift.print(line)
    fflush(nil)
}

/// Tells on the terminal what a run does.
private final class ConsoleObserver: TrainingObserver {
    func begin(_ stage: StageSummary) {
        print(
            "stage \(stage.index + 1)/\(stage.stages) '\(stage.name)': steps \(stage.done)–\(stage.steps), "
                + "\(stage.learning) of \(stage.parameters) parameters learn")
        for part in stage.parts { print("  \(part.part): \(part.learning) of \(part.all)") }
    }

    func step(_ record: StepRecord) {
        guard record.isLogged else { return }
        let report = record.report
        print(
            String(
                format:
                    "%6d %@ %d/%d loss %.4f norm %.3f rate %.2e | %d samples %d tokens %d patches | %.2f s (waited %.2f) "
                    + "%.0f tokens/s %.1f pictures/s",
                record.step, record.stage, record.stageStep, record.stageSteps, report.loss, report.gradientNorm,
                record.rate, report.samples, report.tokens, report.patches, record.seconds, record.waited,
                record.tokensPerSecond, record.picturesPerSecond))
    }

    func evaluation(_ record: EvaluationRecord) {
        print(String(format: "%6d held out: loss %.4f accuracy %.4f", record.step, record.loss, record.accuracy))
    }

    func checkpoint(_ folder: URL, step: Int) { print("checkpoint \(folder.path)") }

    func skipped(_ samples: [SkippedSample], step: Int) {
        for sample in samples { print("skipped \(sample.id) (\(sample.reason.rawValue)): \(sample.message)") }
    }

    func note(_ line: String) { print(line) }
}
