import ArgumentParser
import Foundation
import Models
import Terminal
import Training

/// `omma merge`: an adapter and its base as one checkpoint.
struct MergeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge", abstract: "Make a LoRA adapter and its base one checkpoint.",
        discussion: """
            Matrices that the adapter changes are computed in float32 and rounded once to the type that they are stored \
            in; everything else is copied as it is.
            """)

    @Option(help: ArgumentHelp("The adapter, in PEFT's layout.", valueName: "dir"), completion: .directory)
    var adapter: String
    @Option(
        help: ArgumentHelp("Its base; without it the one that the adapter names.", valueName: "dir"),
        completion: .directory) var model: String?
    @Option(help: ArgumentHelp("The folder to make.", valueName: "dir"), completion: .directory) var out: String

    func run() throws {
        let url = URL(filePath: Paths.expanded(adapter))
        let base = try model.map { URL(filePath: Paths.expanded($0)) } ?? AdapterFolder(url).baseFolder()
        let report = try AdapterMerge.write(
            ModelFolder(base, adapter: url), to: URL(filePath: Paths.expanded(out)).standardizedFileURL)
        print(
            "\(out): \(report.merged) of \(report.tensors) tensors merged, \(Format.bytes(report.bytes)) in all")
    }
}
