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

    @Flag(help: "Measure steps of training instead.")
    var train = false

    @Option(
        help: """
            Shapes: \(shapes.joined(separator: ", ")). (default: qwen2-vl-2b; with --train a model of 79.8 M parameters)
            """)
    var config: String?

    @Option(help: "cpu, cuda, cuda:N or mps.")
    var device = "cpu"

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
        if let config, !Self.shapes.contains(config) { throw ValidationError("no shapes named '\(config)'") }
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
        let config = config ?? "qwen2-vl-2b"
        guard let configuration = try Self.configuration(config), let type = DType(name: dtype) else { return }
        let device = try Engine.device(named: device)
        Engine.threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
        let folder = weights.map { URL(filePath: $0) } ?? Self.cache.appending(path: "bench/\(config)-\(type)")
        let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
        let bench = ModelBench(
            configuration: configuration, name: config, dtype: type, runs: runs, device: device, weights: folder,
            firstTokenCommand: [
                program, "bench", "--first-token", "--config", config, "--dtype", dtype, "--weights", folder.path,
                "--threads", "\(Engine.threads)", "--device", self.device,
            ])
        if firstToken {
            print(try bench.firstToken())
            return
        }
        try show(bench.run(rows: chosenRows, progress: Self.progress))
    }

    private static func configuration(_ name: String) throws -> Qwen2VLConfiguration? {
        try Preset.named(name).family() as? Qwen2VLConfiguration
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
        let device = try Engine.device(named: device)
        let preset = try config.flatMap { name in try Self.configuration(name).map { (name, $0) } }
        // On a GPU one thread asks for everything, and one row holds the whole batch.
        let bench = TrainBench(
            preset, dtype: type, device: device, runs: runs, memory: memory, threads: device == .cpu ? count : 1,
            isLong: long)
        try show(bench.run(rows: chosenRows, progress: Self.progress))
    }

    private static func progress(_ line: String) { FileHandle.standardError.write(Data("bench: \(line)\n".utf8)) }

    private func show(_ report: BenchReport) throws {
        if json { return print(String(decoding: try JSONEncoder().encode(report), as: UTF8.self)) }
        let place = report.device == "cpu" ? "\(report.threads) threads" : report.device
        print("\(report.program): \(report.config), \(report.dtype), \(place)")
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
