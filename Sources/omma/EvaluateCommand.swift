import ArgumentParser
import Data
import Evaluation
import Foundation
import Models
import Terminal
import Torch

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Ask a model about generated pictures that it has not seen, and count.",
        discussion: """
            Pictures come from the held-out split (fonts that training never uses) under a seed of their own. \
            Text is judged by its character error rate, boxes by an intersection over union above 0.5, everything \
            else by exact answers.
            """)

    @Option(help: "Folder of a checkpoint.", completion: .directory)
    var model: String

    @Option(help: "Folder of a LoRA adapter that joins it.", completion: .directory)
    var adapter: String?

    @Option(help: "Questions of each task.")
    var count = 200

    @Option(help: "Seed of the pictures.")
    var seed: UInt64 = 7_000_001

    @Option(
        help: "Only this task (may be repeated): \(SyntheticTask.allCases.map(\.rawValue).joined(separator: ", ")).")
    var task: [String] = []

    @Option(help: "f32 or bf16; the stored type unless said otherwise.")
    var dtype: String?

    @Option(help: "Threads; one a core unless said otherwise.")
    var threads: Int?

    @Option(help: "Write questions, answers and truths as JSON.", completion: .file())
    var out: String?

    func validate() throws {
        for name in task where SyntheticTask(rawValue: name) == nil { throw ValidationError("no task named '\(name)'") }
        if let dtype, DType(name: dtype)?.isFloatingPoint != true {
            throw ValidationError("'\(dtype)' is no float type")
        }
        guard count > 0 else { throw ValidationError("--count must be positive") }
    }

    func run() throws {
        Engine.threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
        let folder = try ModelFolder(URL(filePath: model), adapter: adapter.map { URL(filePath: $0) })
        let evaluation = SyntheticEvaluation(
            folder: folder, model: try folder.loadModel(dtype: dtype.flatMap(DType.init(name:))))
        let tasks = task.isEmpty ? SyntheticTask.allCases : task.compactMap(SyntheticTask.init(rawValue:))
        let bar = ProgressBar("evaluate", total: tasks.count * count, unit: "questions")
        var table = Table([
            .init("task"), .init("metric"), .init("value", .right), .init("±", .right), .init("questions", .right),
        ])
        var results: [SyntheticEvaluation.Result] = []
        for (index, task) in tasks.enumerated() {
            let options = SyntheticOptions(seed: seed, split: .heldOut, turns: .single)
            let result = try evaluation.run(task, options: options, count: count) { bar.update(to: index * count + $0) }
            results.append(result)
            table.add(
                result.task, result.metric, String(format: "%.1f %%", result.value * 100),
                result.uncertainty.map { String(format: "%.1f", $0 * 100) } ?? "", "\(result.questions)")
        }
        bar.finish()
        print(table.text())
        if let out {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(results).write(to: URL(filePath: out))
        }
    }
}
