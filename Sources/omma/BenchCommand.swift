import ArgumentParser
import Evaluation
import Foundation
import Models
import Terminal
import Torch
import Training

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure a model of published shapes with random weights, beside what the machine allows.",
        discussion: "Benchmarks/compare runs this and a peer in turn and prints the ratio.")

    @Flag(help: "Measure steps of training instead, of a model of 79.8 M parameters.")
    var train = false

    @Option(help: "Shapes: \(shapes.joined(separator: ", ")).")
    var config = "qwen2-vl-2b"

    @Option(help: "bf16 or f32.")
    var dtype = "bf16"

    @Option(help: "Only these rows, with commas between them.")
    var rows: String?

    @Option(help: "Threads; one a core unless said otherwise.")
    var threads: Int?

    @Option(help: "Runs of a row.")
    var runs = 3

    @Option(help: "Folder of random weights (made once if empty).", completion: .directory)
    var weights: String?

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "With --train: compute blocks again in the backward pass, and the loss in pieces.")
    var saveMemory = false

    @Flag(help: "With --train: one conversation of 4,096 tokens instead of eight short ones.")
    var long = false

    @Flag(help: .hidden)
    var firstToken = false

    func validate() throws {
        guard Self.shapes.contains(config) else { throw ValidationError("no shapes named '\(config)'") }
        guard DType(name: dtype)?.isFloatingPoint == true else { throw ValidationError("'\(dtype)' is no float type") }
        let unknown = chosenRows.filter { !allRows.contains($0) }
        guard unknown.isEmpty else {
            throw ValidationError("no such row: \(unknown.joined(separator: ", ")); rows are \(allRows)")
        }
        guard train || !(saveMemory || long) else {
            throw ValidationError("--save-memory and --long go with --train")
        }
        guard runs > 0, threads ?? 1 > 0 else { throw ValidationError("--runs and --threads must be positive") }
    }

    private static let shapes = Preset.all.map(\.name).filter { $0.hasPrefix("qwen2-vl-") }

    private var allRows: [String] { train ? TrainBench.allRows : ModelBench.allRows }

    private var chosenRows: [String] {
        rows?.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } ?? allRows
    }

    func run() throws {
        if train { return try runTraining() }
        let preset = try Preset.named(config)
        guard let configuration = try preset.family() as? Qwen2VLConfiguration, let type = DType(name: dtype) else {
            return
        }
        Engine.threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
        let folder = weights.map { URL(filePath: $0) } ?? Self.cache.appending(path: "bench/\(config)-\(type)")
        let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
        let bench = ModelBench(
            configuration: configuration, name: config, dtype: type, runs: runs, weights: folder,
            firstTokenCommand: [
                program, "bench", "--first-token", "--config", config, "--dtype", dtype, "--weights", folder.path,
                "--threads", "\(Engine.threads)",
            ])
        if firstToken {
            print(try bench.firstToken())
            return
        }
        try show(bench.run(rows: chosenRows, progress: Self.progress))
    }

    private func runTraining() throws {
        guard let type = DType(name: dtype) else { return }
        let count = threads ?? ProcessInfo.processInfo.activeProcessorCount
        Engine.threads = count
        var memory = Recipe.Memory()
        if saveMemory {
            memory.recomputed = [.visionTower, .decoder]
            memory.lossRows = 128
        }
        let bench = TrainBench(dtype: type, runs: runs, memory: memory, threads: count, isLong: long)
        try show(bench.run(rows: chosenRows, progress: Self.progress))
    }

    private static func progress(_ line: String) { FileHandle.standardError.write(Data("bench: \(line)\n".utf8)) }

    private func show(_ report: BenchReport) throws {
        if json { return print(String(decoding: try JSONEncoder().encode(report), as: UTF8.self)) }
        print("\(report.program): \(report.config), \(report.dtype), \(report.threads) threads")
        print(
            String(
                format: "limits: memory read %.1f GB/s, bf16 matmul %.0f GFLOP/s\n", report.limits.memoryRead,
                report.limits.matmul))
        print("| row | best | median | unit | limit | of limit |\n|---|---|---|---|---|---|")
        for row in report.rows {
            let numbers = [row.best, row.median, row.limit].map { String(format: "%.4g", $0) }
            print(
                "| \(row.name) | \(numbers[0]) | \(numbers[1]) | \(row.unit) | \(numbers[2]) | \(Int(row.share * 100 + 0.5))% |"
            )
        }
    }

    private static var cache: URL {
        let base = ProcessInfo.processInfo.environment["XDG_CACHE_HOME"].flatMap {
            $0.isEmpty ? nil : URL(filePath: $0)
        }
        return (base ?? FileManager.default.homeDirectoryForCurrentUser.appending(path: ".cache")).appending(
            path: "omma")
    }
}
