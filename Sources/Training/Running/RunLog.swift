public import Foundation
internal import Hashing
internal import Media
internal import Safetensors
public import Terminal
internal import Torch

/// Keeps what a run says: `log.jsonl`, the pictures of sample answers and TensorBoard events in its output folder, a
/// progress bar on the terminal. A full disk costs log entries and never the run.
public final class RunLog: TrainingObserver {
    private let folder: URL
    private let lines: JSONLinesWriter
    private let output: TerminalOutput
    private var board: TensorBoardWriter?
    private var bar: ProgressBar?
    private var facts: RunFacts?
    /// What computes, where that is not the CPU.
    private var device: Device? {
        facts?.machine.device.flatMap { Device(name: $0) }.flatMap { $0 == .cpu ? nil : $0 }
    }
    /// Numbers since the last line, so that a line tells of all steps that it stands for.
    private var window = LogWindow()
    /// Pictures that TensorBoard has been given.
    private var shownPictures: Set<String> = []
    private var hasWarnedOfPictures = false

    /// - Parameters:
    ///   - folder: the run's output, created where it is missing.
    ///   - output: takes the progress bar, and warnings of logs that cannot be written.
    public init(folder: URL, output: TerminalOutput = .standardError) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.folder = folder
        self.output = output
        lines = try JSONLinesWriter(path: folder.appendingPathComponent("log.jsonl").path) { output.warn($0) }
    }

    private func write(_ line: LogLine) { try? lines.append(line) }

    private func say(_ line: String) {
        if let bar { bar.message(line) } else { output.line(line) }
    }

    public func begin(_ run: RunFacts) {
        facts = run
        // Without its events a run is still a run.
        do {
            board = try TensorBoardWriter(
                directory: folder.appendingPathComponent("tensorboard").path,
                purgeStep: run.isResumed ? run.step + 1 : nil
            ) { [output] in output.warn($0) }
        } catch { output.warn("no TensorBoard events: \(error)") }
        write(LogLine(event: run.isResumed ? "resume" : "start", step: run.step, run: run))
        let machine = run.machine
        say(
            "\(machine.processor), \(machine.cores) cores, \(Format.bytes(machine.memory)); \(machine.precision) matrix "
                + "products at \(Format.decimal(machine.matrixRate / 1e9, 0)) GFLOP/s; libtorch \(machine.libtorch)")
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
        write(LogLine(event: "stage", stage: stage.name, text: parts.joined(separator: ", ")))
        bar = ProgressBar(stage.name, total: stage.steps, done: stage.done, output: output)
        window = LogWindow()
    }

    public func step(_ record: StepRecord) {
        window.add(record)
        if !record.report.isApplied {
            write(
                LogLine(
                    event: "skippedStep", step: record.step, stage: record.stage, loss: record.report.loss,
                    gradientNorm: record.report.gradientNorm, text: record.lostSamples.joined(separator: ", ")))
        }
        let utilisation = facts.flatMap { window.utilisation(of: $0.machine.matrixRate) }
        var note = "loss \(Format.decimal(window.meanLoss, 3))"
        if let regions = record.report.regionLoss { note += "  regions \(Format.decimal(regions, 2))" }
        note += "  \(Format.rate(window.tokensPerSecond, unit: "token"))"
        if let utilisation { note += "  MFU \(Format.percent(utilisation, 1))" }
        if let filled = window.filled { note += "  rows \(Format.percent(filled, 0)) full" }
        let deviceMemory = device.flatMap { TensorMemory.use(on: $0)?.peak }
        if let deviceMemory { note += "  GPU \(Format.bytes(deviceMemory))" }
        bar?.update(to: record.stageStep, note: note)
        guard record.isLogged else { return }
        let memory = residentMemory()
        write(window.line(record, utilisation: utilisation, memory: memory, deviceMemory: deviceMemory))
        var scalars: [(String, Double)] = [
            ("train/loss", window.meanLoss), ("train/gradient_norm", record.report.gradientNorm),
            ("train/learning_rate", record.rate),
            ("speed/tokens_per_second", window.tokensPerSecond),
            ("speed/pictures_per_second", window.picturesPerSecond),
            ("speed/waiting_share", window.waited / max(window.seconds, 1e-9)),
            ("skipped/steps", Double(record.skippedSteps)), ("skipped/samples", Double(record.skippedSamples)),
        ]
        if let utilisation { scalars.append(("speed/model_flop_utilisation", utilisation)) }
        if let filled = window.filled { scalars.append(("speed/filled", filled)) }
        if let imbalance = record.report.imbalance { scalars.append(("speed/imbalance", imbalance)) }
        if let memory { scalars.append(("memory/resident_bytes", Double(memory))) }
        if let deviceMemory { scalars.append(("memory/device_bytes", Double(deviceMemory))) }
        for (part, norm) in record.gradientNorms.sorted(by: { $0.key < $1.key }) {
            scalars.append(("gradient_norm/\(part)", norm))
        }
        board?.scalars(scalars, step: record.step)
        window = LogWindow()
    }

    public func evaluation(_ record: EvaluationRecord) {
        let guesses = [("chance", record.chance), ("blind", record.blind)].compactMap { name, guess in
            guess.map {
                "; \(name): loss \(Format.decimal($0.loss, 4)), \(Format.decimal($0.accuracy * 100, 1)) %"
            }
        }
        say(
            "step \(Format.grouped(record.step)), held out: loss \(Format.decimal(record.loss, 4)), "
                + "\(Format.decimal(record.accuracy * 100, 1)) % \(record.measure)" + guesses.joined())
        write(
            LogLine(
                event: "evaluation", step: record.step, loss: record.loss, accuracy: record.accuracy,
                measure: record.measure, blindLoss: record.blind?.loss, blindAccuracy: record.blind?.accuracy,
                chanceLoss: record.chance?.loss, chanceAccuracy: record.chance?.accuracy))
        var scalars = [("held_out/loss", record.loss), ("held_out/accuracy", record.accuracy)]
        if let blind = record.blind {
            scalars += [("held_out/blind_loss", blind.loss), ("held_out/blind_accuracy", blind.accuracy)]
        }
        board?.scalars(scalars, step: record.step)
    }

    public func answers(_ answers: [SampleAnswer], step: Int) {
        for (number, answer) in answers.enumerated() {
            let tag = "sample \(number + 1)"
            let pictures = answer.pictures.compactMap { keep($0, tag: tag, step: step) }
            write(
                LogLine(
                    event: "answer", step: step, sample: answer.id, question: answer.question, truth: answer.truth,
                    answer: answer.answer, files: pictures.isEmpty ? nil : pictures))
            // TensorBoard reads Markdown: an indented block is shown as it is.
            let text = [("question", answer.question), ("answer", answer.answer), ("truth", answer.truth)].map {
                "\($0):\n\n    " + $1.replacing("\n", with: "\n    ")
            }
            board?.text("answers/\(tag)", text.joined(separator: "\n\n"), step: step)
        }
    }

    /// Writes a picture, smaller where it is large, and gives its name in the run's folder; nil where that failed.
    private func keep(_ picture: Image, tag: String, step: Int) -> String? {
        do {
            let scale = min(1, Self.longestSide / Double(max(picture.width, picture.height)))
            let small = try picture.resized(
                width: max(1, Int(Double(picture.width) * scale)), height: max(1, Int(Double(picture.height) * scale)))
            let png = try small.pngData()
            // Named after what is in it: the same picture at every evaluation is one file.
            let name = "answers/" + String(png.withUnsafeBytes { sha256($0) }.prefix(16)) + ".png"
            let file = folder.appendingPathComponent(name)
            if !FileManager.default.fileExists(atPath: file.path) {
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
                try atomicWrite(file.path, png)
            }
            if shownPictures.insert(name).inserted {
                // Not under the tag of the words: TensorBoard takes a tag for one kind of thing.
                board?.image("pictures/\(tag)", png: png, width: small.width, height: small.height, step: step)
            }
            return name
        } catch {
            if !hasWarnedOfPictures { output.warn("a picture of a sample answer could not be kept: \(error)") }
            hasWarnedOfPictures = true
            return nil
        }
    }

    /// Of a picture that is kept, in pixels.
    private static let longestSide = 320.0

    public func checkpoint(_ folder: URL, step: Int) {
        write(LogLine(event: "checkpoint", step: step, text: folder.path))
        lines.sync()
        board?.sync()
    }

    public func skipped(_ samples: [SkippedSample], step: Int) {
        for sample in samples {
            write(
                LogLine(
                    event: "skipped", step: step, sample: sample.id, reason: sample.reason.rawValue,
                    text: sample.message))
        }
    }

    public func note(_ line: String) {
        say(line)
        write(LogLine(event: "note", text: line))
    }

    /// Ends the bar and the files.
    public func finish() {
        bar?.finish()
        bar = nil
        lines.close()
        board?.close()
    }
}
