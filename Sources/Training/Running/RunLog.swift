public import Foundation
public import Terminal

/// Keeps what a run says: `log.jsonl` and TensorBoard events in its output folder, a progress bar on the terminal.
public final class RunLog: TrainingObserver {
    private let lines: JSONLinesWriter
    private let board: TensorBoardWriter
    private let output: TerminalOutput
    private var bar: ProgressBar?
    /// Numbers since the last line, so that a line tells of all steps that it stands for.
    private var window = Window()

    private struct Window {
        var steps = 0
        var loss = 0.0
        var supervised = 0
        var tokens = 0
        var pictures = 0
        var seconds = 0.0
        var waited = 0.0
    }

    /// - Parameters:
    ///   - folder: the run's output, created where it is missing.
    ///   - resuming: whether an earlier run wrote there.
    public init(folder: URL, resuming: Bool, output: TerminalOutput = .standardError) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.output = output
        lines = try JSONLinesWriter(path: folder.appendingPathComponent("log.jsonl").path)
        board = try TensorBoardWriter(directory: folder.appendingPathComponent("tensorboard").path)
        if resuming { try? lines.append(Line(event: "resume")) }
    }

    /// One line of `log.jsonl`; which fields are there depends on the event.
    private struct Line: Encodable {
        var event: String
        var step: Int?
        var stage: String?
        var loss: Double?
        var gradientNorm: Double?
        var learningRate: Double?
        /// Of the last step.
        var regionLosses: [String: Double]?
        var accuracy: Double?
        var blindLoss: Double?
        var blindAccuracy: Double?
        var tokens: Int?
        var supervisedTokens: Int?
        var pictures: Int?
        var tokensPerSecond: Double?
        var picturesPerSecond: Double?
        var waitedSeconds: Double?
        var skippedSteps: Int?
        var skippedSamples: Int?
        var sample: String?
        var reason: String?
        var text: String?
    }

    private func write(_ line: Line) { try? lines.append(line) }

    private func say(_ line: String) {
        if let bar { bar.message(line) } else { output.line(line) }
    }

    public func begin(_ stage: StageSummary) {
        bar?.finish()
        bar = nil
        let parts = stage.parts.map { part in
            part.learning == part.all
                ? "\(part.part) \(Format.grouped(part.all))"
                : part.learning == 0
                    ? "\(part.part) frozen"
                    : "\(part.part) \(Format.grouped(part.learning)) of \(Format.grouped(part.all))"
        }
        say(
            "stage \(stage.index + 1) of \(stage.stages), \(stage.name): \(Format.grouped(stage.learning)) of "
                + "\(Format.grouped(stage.parameters)) parameters learn (\(parts.joined(separator: ", ")))")
        write(Line(event: "stage", stage: stage.name, text: parts.joined(separator: ", ")))
        bar = ProgressBar(stage.name, total: stage.steps, done: stage.done, output: output)
        window = Window()
    }

    public func step(_ record: StepRecord) {
        let report = record.report
        window.steps += 1
        if report.isApplied {
            window.loss += report.loss * Double(report.supervisedTokens)
            window.supervised += report.supervisedTokens
        }
        window.tokens += report.tokens
        window.pictures += report.pictures
        window.seconds += record.seconds
        window.waited += record.waited
        let loss = window.loss / Double(max(1, window.supervised))
        let regions = report.regionLoss.map { "  regions \(Format.decimal($0, 2))" } ?? ""
        let speed = Double(window.tokens) / max(window.seconds, 1e-9)
        bar?.update(
            to: record.stageStep,
            note: "loss \(Format.decimal(loss, 3))\(regions)  \(Format.rate(speed, unit: "token"))")
        guard record.isLogged else { return }
        let pictures = Double(window.pictures) / max(window.seconds, 1e-9)
        write(
            Line(
                event: "step", step: record.step, stage: record.stage, loss: loss, gradientNorm: report.gradientNorm,
                learningRate: record.rate, regionLosses: report.regionLosses.isEmpty ? nil : report.regionLosses,
                tokens: window.tokens,
                supervisedTokens: window.supervised,
                pictures: window.pictures, tokensPerSecond: speed, picturesPerSecond: pictures,
                waitedSeconds: window.waited, skippedSteps: record.skippedSteps, skippedSamples: record.skippedSamples))
        board.scalars(
            [
                ("train/loss", loss), ("train/gradient_norm", report.gradientNorm),
                ("train/learning_rate", record.rate),
                ("speed/tokens_per_second", speed), ("speed/pictures_per_second", pictures),
                ("speed/waiting_share", window.waited / max(window.seconds, 1e-9)),
                ("skipped/steps", Double(record.skippedSteps)), ("skipped/samples", Double(record.skippedSamples)),
            ], step: record.step)
        window = Window()
    }

    public func evaluation(_ record: EvaluationRecord) {
        let blind = record.blind.map {
            "; blind: loss \(Format.decimal($0.loss, 4)), \(Format.decimal($0.accuracy * 100, 1)) %"
        }
        say(
            "step \(Format.grouped(record.step)), held out: loss \(Format.decimal(record.loss, 4)), "
                + "\(Format.decimal(record.accuracy * 100, 1)) % of answer tokens right" + (blind ?? ""))
        write(
            Line(
                event: "evaluation", step: record.step, loss: record.loss, accuracy: record.accuracy,
                blindLoss: record.blind?.loss, blindAccuracy: record.blind?.accuracy))
        var scalars = [("held_out/loss", record.loss), ("held_out/accuracy", record.accuracy)]
        if let blind = record.blind {
            scalars += [("held_out/blind_loss", blind.loss), ("held_out/blind_accuracy", blind.accuracy)]
        }
        board.scalars(scalars, step: record.step)
    }

    public func checkpoint(_ folder: URL, step: Int) {
        write(Line(event: "checkpoint", step: step, text: folder.path))
        lines.sync()
        board.sync()
    }

    public func skipped(_ samples: [SkippedSample], step: Int) {
        for sample in samples {
            write(
                Line(
                    event: "skipped", step: step, sample: sample.id, reason: sample.reason.rawValue,
                    text: sample.message))
        }
    }

    public func note(_ line: String) {
        say(line)
        write(Line(event: "note", text: line))
    }

    /// Ends the bar and the files.
    public func finish() {
        bar?.finish()
        bar = nil
        lines.close()
        board.close()
    }
}
