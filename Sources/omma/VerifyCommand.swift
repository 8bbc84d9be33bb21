import ArgumentParser
import Evaluation
import Foundation
import Torch

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare folders of goldens (reference results) with what Omma gives.",
        discussion: """
            Runs every case of each folder and prints, per tensor, the largest difference and whether it holds. \
            The exit status is 0 only if everything holds.
            """)

    @Argument(help: "Folders in the format of Tests/Goldens.", completion: .directory)
    var folders: [String]

    @Option(help: "Where models run: auto, cpu, cuda, cuda:N or mps. All else is of the CPU.")
    var device = "cpu"

    @Flag(help: "Print one JSON object a folder.")
    var json = false

    @Flag(help: "Print every comparison, not only the failed ones and a summary.")
    var all = false

    func run() throws {
        let device = try Engine.device(named: device)
        var failed = false
        for folder in folders {
            do {
                let report = try Verifier.verify(folder: URL(filePath: folder), device: device)
                failed = failed || !report.holds
                try print(report)
            } catch {
                failed = true
                FileHandle.standardError.write(Data("\(folder): \(error)\n".utf8))
            }
        }
        if failed { throw ExitCode(1) }
    }

    private func print(_ report: VerifyReport) throws {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let object = VerifyOutput(
                folder: report.folder, kind: report.kind, holds: report.holds, comparisons: report.lines)
            Swift.print(String(decoding: try encoder.encode(object), as: UTF8.self))
            return
        }
        for line in report.lines where all || !line.holds {
            let numbers = line.difference.map { difference in
                String(format: "  %.3g of %.3g allowed", difference, line.allowed ?? 0)
            }
            Swift.print(
                "\(line.holds ? "holds" : "FAILS")  \(line.name)\(numbers ?? "")\(line.note.isEmpty ? "" : "  " + line.note.prefix(300))"
            )
        }
        let held = report.lines.count(where: \.holds)
        Swift.print("\(report.folder): \(held) of \(report.lines.count) comparisons hold (\(report.kind))")
    }
}

private struct VerifyOutput: Encodable {
    var folder: String
    var kind: String
    var holds: Bool
    var comparisons: [VerifyReport.Line]
}
