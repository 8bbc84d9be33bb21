import Terminal
import Training

/// What `omma check` found, for people.
struct CheckText {
    private let output: TerminalOutput
    private let keep: Int
    private let threads: Int
    private let free: Int?

    init(_ output: TerminalOutput, keep: Int, threads: Int, free: Int?) {
        self.output = output
        self.keep = keep
        self.threads = threads
        self.free = free
    }

    func write(_ data: [DataCheck], _ stages: [StageCheck]) {
        for check in data {
            check.wrong.forEach(output.line)
            output.line("\(check.file): \(Format.grouped(check.rows)) rows, \(check.wrong.count) of them wrong")
        }
        for stage in stages { write(stage) }
        // The newest checkpoint is written before the oldest is removed.
        let disk = (stages.map(\.checkpointBytes).max() ?? 0) * (keep + 1)
        let room = free.map { ", of \(Format.bytes($0)) that are free" } ?? ""
        output.line("\ndisk: \(Format.bytes(disk)) for \(keep + 1) checkpoints\(room)")
        if let free, disk > free { TerminalOutput.standardError.warn("the checkpoints do not fit the disk") }
        let seconds = stages.reduce(0) { $0 + $1.seconds }
        output.line("time: \(Format.duration(seconds)) on this machine for all stages, without evaluations")
        let problems = stages.flatMap { stage in stage.problems.map { "\(stage.name): \($0)" } }
        for problem in problems { output.line("\(output.coloured("stop:", .red)) \(problem)") }
        if problems.isEmpty { output.line("nothing speaks against running it") }
    }

    private func write(_ stage: StageCheck) {
        output.line("\n" + output.coloured(stage.name, .bold))
        for part in stage.parts {
            let all = Format.grouped(part.all)
            let state =
                part.learning == 0
                ? "frozen, \(all)"
                : part.learning == part.all
                    ? "learns, \(all)" : "learns in part, \(Format.grouped(part.learning)) of \(all)"
            output.line("  \(part.name.padded(to: 16))\(state)")
        }
        for sample in stage.samples { write(sample) }
        for sample in stage.unusable.prefix(10) { output.line("  cannot be used: \(sample.printable)") }
        if stage.unusable.count > 10 { output.line("  and \(stage.unusable.count - 10) more of \(stage.seen)") }
        for surprise in stage.surprises { output.line("  \(output.coloured("note:", .yellow)) \(surprise)") }
        let learning = stage.learning
        output.line(
            "  supervised: \(Format.percent(learning.supervisedShare)) of the text "
                + "(\(Format.grouped(learning.supervised)) of \(Format.grouped(learning.tokens - learning.places)) tokens in a step)"
        )
        if let seen = learning.lossWithPictures, let blind = learning.lossWithNoise {
            output.line(
                "  loss: \(Format.decimal(seen, 4)) with pictures, \(Format.decimal(blind, 4)) with noise in their place"
                    + (learning.hasClosedGates ? " (all gates are closed yet)" : ""))
        } else {
            output.line("  loss: \(Format.decimal(learning.loss, 4)); no pictures in \(stage.rows) rows")
        }
        output.line(
            learning.unreached.isEmpty
                ? "  gradients: wherever something learns"
                : "  gradients: none at \(learning.unreached.count) parameters")
        let row = stage.worstRow
        func memory(_ measured: Int?, _ planned: Double) -> (String, String) {
            let planned = "planned \(Format.bytes(Int(planned)))"
            return measured.map { (Format.bytes($0), " (\(planned))") } ?? (planned, "")
        }
        let setup = memory(stage.measuredSetup, stage.plannedSetup)
        let pass = memory(stage.measuredPass, stage.plannedPass)
        output.line(
            "  memory: \(setup.0) for weights and optimiser\(setup.1), \(pass.0) for the largest of "
                + "\(stage.rows) rows\(pass.1): \(Int(row.tokens)) tokens, "
                + "\(Int(row.supervised)) supervised, \(Int(row.patches)) patches"
                + (threads > 1 ? "; \(threads) of them at a time" : ""))
        output.line(
            "  time: \(Format.duration(stage.secondsPerStep)) a step, \(Format.duration(stage.seconds)) for "
                + "\(Format.grouped(stage.steps)) steps")
    }

    private func write(_ sample: StageCheck.Sample) {
        output.line("  sample \(sample.id.printable)")
        var text = ""
        for piece in sample.pieces {
            if let picture = piece.picture {
                text += output.coloured("[picture \(picture + 1): \(piece.count) tokens]", .blue)
            } else if piece.isSupervised {
                // Marks show what is learned where there are no colours.
                text += output.hasColour ? output.coloured(shown(piece.text), .green) : "«\(shown(piece.text))»"
            } else {
                text += output.coloured(shown(piece.text), .dim)
            }
        }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) { output.line("    \(line)") }
    }

    /// Line breaks stay; other control characters do not reach the terminal.
    private func shown(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0).printable }
            .joined(separator: "\n")
    }
}
