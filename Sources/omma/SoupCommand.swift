import ArgumentParser
import Foundation
import Terminal
import Training

/// `omma soup A B …`: several models made into one.
struct SoupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soup", abstract: "Make several models of one shape into one by the mean of their weights.",
        discussion: """
            Takes checkpoints that were tuned from the same model. With --select greedy the models are tried best first, \
            and each stays if the loss on the held-out data of --recipe does not rise.
            """)

    @Argument(help: "Folders of checkpoints.", completion: .directory) var models: [String]
    @Option(help: "The folder to make.") var out: String
    @Option(help: "uniform takes all, greedy those that help.") var select = "uniform"
    @Option(
        help: "A recipe whose held_out data the choice is made on.", completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String?
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard Recipe.SoupSelection(rawValue: select) != nil else {
            throw ValidationError("--select is uniform or greedy")
        }
        guard models.count > 1 else { throw ValidationError("a soup is made of two or more models") }
        guard (select == "greedy") == (recipe != nil) else {
            throw ValidationError("--select greedy needs --recipe, and uniform takes none")
        }
    }

    func run() throws {
        let soup = try ModelSoup(models.map { URL(filePath: Paths.expanded($0)) })
        let heldOut = try recipe.map { try Recipe.load(URL(filePath: Paths.expanded($0))).recipe }
        let report = try soup.write(to: URL(filePath: Paths.expanded(out)), heldOut: heldOut) {
            TerminalOutput.standardError.line($0)
        }
        let output = TerminalOutput.standardOutput
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            output.line(String(decoding: try encoder.encode(report), as: UTF8.self))
            return
        }
        let used = report.candidates.filter(\.isUsed).count
        let loss = report.loss.map { ", held-out loss \(Format.decimal($0, 4))" } ?? ""
        output.line("\(out): the mean of \(used) of \(models.count) models, \(report.tensors) tensors\(loss)")
    }
}
