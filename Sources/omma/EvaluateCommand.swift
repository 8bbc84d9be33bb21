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

    @Flag(help: "Ask the same questions with noise in place of the pictures, too: what is right then needs no eyes.")
    var blind = false

    @Option(help: "Clutter, noise and JPEG artefacts, 0 to 1.")
    var difficulty = SyntheticOptions().difficulty

    @Option(help: "The part of pictures asked about in Chinese, 0 to 1.")
    var chinese = SyntheticOptions().chineseShare

    @Option(help: "Objects of a scene at most.")
    var maxObjects = SyntheticOptions.allObjects

    @Option(parsing: .upToNextOption, help: "The shortest and the longest side of a picture.")
    var sides: [Int] = [SyntheticOptions().sides.lowerBound, SyntheticOptions().sides.upperBound]

    @Option(help: "f32 or bf16; the stored type unless said otherwise.")
    var dtype: String?

    @Option(help: "Threads; one a core unless said otherwise.")
    var threads: Int?

    @Option(help: "auto, cpu, cuda, cuda:N or mps.")
    var device = "cpu"

    @Option(help: "Write questions, answers and truths as JSON.", completion: .file())
    var out: String?

    func validate() throws {
        for name in task where SyntheticTask(rawValue: name) == nil { throw ValidationError("no task named '\(name)'") }
        if let dtype, DType(name: dtype)?.isFloatingPoint != true {
            throw ValidationError("'\(dtype)' is no float type")
        }
        guard sides.count == 2, sides[0] <= sides[1] else {
            throw ValidationError("--sides takes two numbers, the smaller one first")
        }
        guard count > 0 else { throw ValidationError("--count must be positive") }
    }

    func run() throws {
        Engine.threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
        let folder = try ModelFolder(URL(filePath: model), adapter: adapter.map { URL(filePath: $0) })
        var evaluation = SyntheticEvaluation(
            folder: folder,
            model: try folder.loadModel(
                dtype: dtype.flatMap(DType.init(name:)), device: Engine.device(named: device)))
        let tasks = task.isEmpty ? SyntheticTask.allCases : task.compactMap(SyntheticTask.init(rawValue:))
        let passes = blind ? 2 : 1
        let bar = ProgressBar("evaluate", total: tasks.count * count * passes, unit: "question")
        var table = Table(
            [.init("task"), .init("metric"), .init("value", .right), .init("±", .right)]
                + (blind ? [.init("blind", .right), .init("±", .right)] : []) + [.init("questions", .right)])
        var results: [SyntheticEvaluation.Result] = []
        var options = SyntheticOptions(seed: seed, split: .heldOut, turns: .single)
        options.difficulty = difficulty
        options.chineseShare = chinese
        options.maxObjects = maxObjects
        options.sides = sides[0]...sides[1]
        for (index, task) in tasks.enumerated() {
            var row = [task.rawValue]
            for pass in 0..<passes {
                evaluation.isBlind = pass == 1
                let result = try evaluation.run(task, options: options, count: count) {
                    bar.update(to: (index * passes + pass) * count + $0)
                }
                results.append(result)
                if pass == 0 { row.append(result.metric) }
                row.append(String(format: "%.1f %%", result.value * 100))
                row.append(result.uncertainty.map { String(format: "%.1f", $0 * 100) } ?? "")
            }
            table.add(row + ["\(count)"])
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
