import ArgumentParser
import Evaluation
import Foundation
import Safetensors
import Terminal

/// `omma report RUN [RUN…]`
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Make a page about training runs: curves, answers over time, what was skipped.",
        discussion: """
            Reads the logs of one run or several, also of those that are still going on, and writes one HTML file that \
            needs nothing else. Several runs stand side by side.
            """)

    @Argument(help: "Output folders of runs.", completion: .directory) var runs: [String]
    @Option(help: "The page to write.", completion: .file(extensions: ["html"])) var out = "report.html"

    func validate() throws {
        if runs.isEmpty { throw ValidationError("name the output folder of a run") }
    }

    func run() throws {
        let histories = try runs.map { try RunHistory(URL(filePath: Paths.expanded($0))) }
        let page = RunReport(histories).html
        try atomicWrite(Paths.expanded(out), Data(page.utf8))
        TerminalOutput.standardOutput.line("\(out): \(histories.count == 1 ? "one run" : "\(histories.count) runs")")
    }
}
