public import Foundation
import Inference
public import Models
import NN
import Safetensors
public import Torch

/// Measures a Qwen2-VL of published shapes with random weights, row by row, beside what the machine allows.
public struct ModelBench {
    public static let allRows = [
        "prefill_512", "prefill_2048", "decode_depth_0", "decode_depth_1024", "tower_448", "tower_1344x896",
        "start_to_first_token", "peak_memory",
    ]
    private static let decodedTokens = 16
    private static let textTokens = 30

    public var configuration: Qwen2VLConfiguration
    public var name: String
    public var dtype: DType
    public var runs: Int
    public var device: Device
    /// A folder with `model.safetensors` of random weights; made once if missing.
    public var weights: URL
    /// How to start a process that runs `firstToken()` and prints the token.
    public var firstTokenCommand: [String]

    public init(
        configuration: Qwen2VLConfiguration, name: String, dtype: DType, runs: Int, device: Device = .cpu, weights: URL,
        firstTokenCommand: [String]
    ) {
        self.configuration = configuration
        self.name = name
        self.dtype = dtype
        self.runs = runs
        self.device = device
        self.weights = weights
        self.firstTokenCommand = firstTokenCommand
    }

    /// Measures `rows`; `progress` hears what is going on.
    public func run(rows: [String], progress: (String) -> Void) throws -> BenchReport {
        try makeWeights(progress)
        progress("measuring the machine's limits")
        var limits = try BenchReport.Limits.measure(device)
        var results: [String: [Double]] = [:]
        let shapes = BenchShapes(configuration, dtype)
        try withoutGradient {
            let model = try loadModel()
            try touchWeights(model)
            for row in rows {
                progress(row)
                switch row {
                case "prefill_512": results[row] = try prefill(model, 512)
                case "prefill_2048": results[row] = try prefill(model, 2048)
                case "decode_depth_0": results[row] = try decode(model, 0)
                case "decode_depth_1024": results[row] = try decode(model, 1024)
                case "tower_448": results[row] = try tower(model, 448, 448)
                case "tower_1344x896": results[row] = try tower(model, 1344, 896)
                case "start_to_first_token": results[row] = try startToFirstToken()
                default: break
                }
            }
        }
        results["peak_memory"] = [Self.peakMemory(device)]
        progress("measuring the machine's limits again")
        limits = limits.best(try BenchReport.Limits.measure(device))
        return BenchReport(
            program: "omma", config: name, dtype: dtype.description, device: device.description,
            threads: Engine.threads, limits: limits,
            rows: rows.compactMap { row in results[row].map { shapes.row(row, $0, limits) } })
    }

    // MARK: - rows

    private func prefill(_ model: VisionLanguageModel, _ tokens: Int) throws -> [Double] {
        _ = try step(model, ids(16), from: 0, model.decoder.makeCache())
        return try (0..<runs).map { _ in
            let cache = model.decoder.makeCache()
            return Double(tokens) / (try seconds(on: device) { _ = try step(model, ids(tokens), from: 0, cache) })
        }
    }

    private func decode(_ model: VisionLanguageModel, _ depth: Int) throws -> [Double] {
        let cache = model.decoder.makeCache()
        if depth > 0 { _ = try step(model, ids(depth), from: 0, cache) }
        return try (0..<runs + 1).map { _ in
            cache.truncate(to: depth)
            var token: Int32 = 1
            return Double(Self.decodedTokens)
                / (try seconds(on: device) {
                    for index in 0..<Self.decodedTokens {
                        token = try step(model, [token], from: depth + index, cache)
                    }
                })
        }.dropFirst().map { $0 }
    }

    private func tower(_ model: VisionLanguageModel, _ width: Int, _ height: Int) throws -> [Double] {
        guard let vision = model.vision, let item = try picture(width, height) else { return [] }
        return try (0..<runs).map { _ in try seconds(on: device) { _ = try vision.features([item], ForwardContext()) } }
    }

    private func startToFirstToken() throws -> [Double] {
        try (0..<runs).map { _ in
            let process = Process()
            process.executableURL = URL(filePath: firstTokenCommand[0])
            process.arguments = Array(firstTokenCommand.dropFirst())
            let output = Pipe()
            process.standardOutput = output
            let time = try seconds {
                try process.run()
                _ = output.fileHandleForReading.readDataToEndOfFile()
            }
            process.waitUntilExit()
            guard process.terminationStatus == 0 else {
                throw ConfigurationError(file: weights.path, reason: "could not be run in a process of its own")
            }
            return time
        }
    }

    /// In a fresh process: mapped weights, a 448×448 picture and text to the first token.
    public func firstToken() throws -> Int32 {
        try withoutGradient {
            let model = try loadModel()
            guard let item = try picture(448, 448) else { return 0 }
            var rows = ids(Self.textTokens / 2).map { TokenRow(id: $0, position: .zero) }
            rows += (0..<item.tokenCount).map { _ in TokenRow(id: configuration.imageToken, position: .zero, item: 0) }
            rows += ids(Self.textTokens / 2).map { TokenRow(id: $0, position: .zero) }
            for index in rows.indices { rows[index].position = SIMD3(repeating: Int32(index)) }
            let sequence = ProcessedSequence(rows: rows, items: [item], nextPosition: Int32(rows.count), promptText: "")
            return try Generator(model).generate(sequence, GenerationOptions(maxTokens: 1)).tokens.first ?? 0
        }
    }

    // MARK: - parts

    private func step(
        _ model: VisionLanguageModel, _ ids: [Int32], from start: Int, _ cache: KeyValueCache
    ) throws -> Int32 {
        let rows = ids.enumerated().map { (id: $0.element, position: Int32(start + $0.offset)) }
        let hidden = try model.hiddenStates(ModelInput(continuing: [rows]), ForwardContext(caches: [cache]))
        let logits = try model.logits(hidden.slice(0, hidden.size(0) - 1..<hidden.size(0)))
        return Int32(try logits.argmax(-1).item())
    }

    private func ids(_ count: Int) -> [Int32] { (0..<count).map { Int32(($0 * 7919 + 13) % 100_000) } }

    private func picture(_ width: Int, _ height: Int) throws -> VisualItem? {
        guard let vision = configuration.vision else { return nil }
        let grid = PatchGrid(time: 1, height: height / vision.patchSize, width: width / vision.patchSize)
        let length = vision.channels * vision.temporalPatchSize * vision.patchSize * vision.patchSize
        return VisualItem(
            kind: .image, layout: .patches(grid), pixels: try RandomGenerator(seed: 2).normal([grid.count, length]),
            originalWidth: width, originalHeight: height, patchCount: grid.count,
            featureCount: grid.count / (vision.mergeSize * vision.mergeSize))
    }

    private func loadModel() throws -> VisionLanguageModel {
        let checkpoint = try SafetensorsCheckpoint(directory: weights.path)
        return try configuration.makeModel(ParameterStore(.checkpoint(checkpoint, .fail), dtype: dtype, device: device))
    }

    /// Brings the mapped file into memory, so that no row pays for it.
    private func touchWeights(_ model: VisionLanguageModel) throws {
        for parameter in model.store.parameters { _ = try parameter.tensor.amax() }
    }

    /// Random weights under the released names, written tensor by tensor so that little memory is needed.
    private func makeWeights(_ progress: (String) -> Void) throws {
        let file = weights.appending(path: "model.safetensors")
        if FileManager.default.fileExists(atPath: file.path) { return }
        progress("writing random weights to \(weights.path), once")
        try FileManager.default.createDirectory(at: weights, withIntermediateDirectories: true)
        let model = try configuration.makeModel(ParameterStore(.shapes, dtype: dtype))
        let noise = try (RandomGenerator(seed: 3).normal([1 << 22]) * 0.02).to(dtype)
        try SafetensorsWriter.write(
            path: file.path,
            tensors: model.store.parameters.map { parameter in
                let shape = parameter.shape
                let isNorm = shape.count == 1 && parameter.name.hasSuffix("weight")
                return Safetensors.TensorSource(name: parameter.name, dtype: dtype.stored, shape: shape) { sink in
                    var left = shape.reduce(1, *)
                    let source = isNorm ? try Tensor.ones([min(left, noise.count)], dtype: dtype) : noise
                    while left > 0 {
                        let piece = try source.slice(0, 0..<min(left, source.count)).bytes()
                        try piece.withUnsafeBytes(sink)
                        left -= min(left, source.count)
                    }
                }
            })
    }

    /// The largest resident size of this process so far, in GB; on a GPU, the most that its tensors held.
    static func peakMemory(_ device: Device) -> Double {
        if device != .cpu, let use = TensorMemory.use(on: device) { return Double(use.peak) / 1e9 }
        var usage = rusage()
        #if os(macOS)
            getrusage(RUSAGE_SELF, &usage)
            return Double(usage.ru_maxrss) / 1e9
        #else
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return Double(usage.ru_maxrss) * 1024 / 1e9
        #endif
    }
}
