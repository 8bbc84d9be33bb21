import Foundation
public import Models
import NN
public import Torch
public import Training

/// Measures whole steps of fine-tuning: a Qwen2-VL of 79.8 M parameters with random weights, AdamW, gradients clipped at
/// 1, a batch of conversations of mixed lengths with a picture each. `Benchmarks/peers/run train` measures the same work.
public struct TrainBench {
    public static let allRows = ["train_samples", "train_tokens", "train_step", "train_peak_memory"]

    /// Tokens of each conversation, and rows and columns of its picture's features.
    private static let mixed: [(tokens: Int, rows: Int, columns: Int)] = [
        (850, 20, 16), (760, 18, 18), (690, 16, 16), (600, 15, 14), (520, 14, 13), (445, 13, 12), (370, 11, 11),
        (300, 15, 10),
    ]
    /// A single one, for what long rows need of memory.
    private static let long = [(tokens: 4096, rows: 32, columns: 32)]

    /// A model of published shapes in the place of that one.
    public var preset: (name: String, configuration: Qwen2VLConfiguration)?
    public var dtype: DType
    public var device: Device
    public var runs: Int
    public var memory: Recipe.Memory
    /// Micro-batches that are computed at the same time, by one thread each.
    public var threads: Int
    /// One conversation of 4,096 tokens in place of eight short ones.
    public var isLong: Bool

    public init(
        _ preset: (name: String, configuration: Qwen2VLConfiguration)? = nil, dtype: DType, device: Device = .cpu,
        runs: Int, memory: Recipe.Memory, threads: Int, isLong: Bool = false
    ) {
        self.preset = preset
        self.device = device
        self.isLong = isLong
        self.dtype = dtype
        self.runs = runs
        self.memory = memory
        self.threads = threads
    }

    public func run(rows: [String], progress: (String) -> Void) throws -> BenchReport {
        let reader = try ConfigurationReader(json: Self.configuration, file: "the benchmark's model")
        let configuration = try preset?.configuration ?? Qwen2VLConfiguration(reader)
        let model = try configuration.makeModel(
            ParameterStore(.random(seed: 1), dtype: .float32, device: device, writable: true))
        let parameters = model.store.parameters.reduce(0) { $0 + $1.count }
        progress("\((Double(parameters) / 1e6).formatted(.number.precision(.fractionLength(1)))) M parameters")
        let optimizer = try Optimizer(
            model.store.parameters, dtype: dtype,
            settings: AdamWOptions(rate: 1e-5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01))
        let step = TrainingStep(model: model, optimizer: optimizer, memory: memory, threads: threads)
        let sequences = try self.sequences(configuration)
        let batch = Self.microBatches(sequences, count: threads)
        var times: [Double] = []
        for run in 0...runs {
            var report: StepReport?
            let time = try seconds(on: device) { report = try step(batch, rate: 1e-5, clip: 1) }
            // The first run compiles kernels.
            if run > 0 { times.append(time) }
            if let report { progress("loss \(report.loss), \(time) s") }
        }
        let peak = ModelBench.peakMemory(device)
        // Not before: its buffers would count as memory of the training.
        progress("measuring the machine's limits")
        let limits = try BenchReport.Limits.measure(device).best(BenchReport.Limits.measure(device))

        let shapes = BenchShapes(configuration, dtype)
        let work = sequences.reduce(0) { sum, sequence in
            sum + shapes.forward(tokens: sequence.rows.count, patches: sequence.patchCount)
        }
        // A backward pass is twice a forward pass.
        let shortest = 3 * work / (limits.matmul * 1e9)
        let tokens = Double(sequences.reduce(0) { $0 + $1.rows.count }), samples = Double(sequences.count)
        // Weights, gradients and the two moments: what a step cannot do without.
        let state = 16 * Double(parameters) / 1e9
        let all = [
            BenchReport.Row(
                "train_samples", unit: "samples/s", runs: times.map { samples / $0 }, limit: samples / shortest),
            BenchReport.Row(
                "train_tokens", unit: "tokens/s", runs: times.map { tokens / $0 }, limit: tokens / shortest),
            BenchReport.Row("train_step", unit: "s", runs: times, limit: shortest, lowerIsBetter: true),
            BenchReport.Row("train_peak_memory", unit: "GB", runs: [peak], limit: state, lowerIsBetter: true),
        ]
        return BenchReport(
            program: "omma", config: (preset?.name ?? "qwen2-vl-80m") + (isLong ? ", 4,096 tokens" : ""),
            dtype: dtype.description, device: device.description, threads: threads, limits: limits,
            rows: all.filter { rows.contains($0.name) })
    }

    /// Some text, the picture, and text whose second half is the answer.
    private func sequences(_ configuration: Qwen2VLConfiguration) throws -> [ProcessedSequence] {
        guard let vision = configuration.vision else { return [] }
        let length = vision.channels * vision.temporalPatchSize * vision.patchSize * vision.patchSize
        let merge = vision.mergeSize, random = try RandomGenerator(seed: 1)
        return try (isLong ? Self.long : Self.mixed).enumerated().map { index, shape in
            let features = shape.rows * shape.columns
            let grid = PatchGrid(time: 1, height: shape.rows * merge, width: shape.columns * merge)
            let picture = VisualItem(
                kind: .image, layout: .patches(grid), pixels: try random.normal([grid.count, length]),
                originalWidth: grid.width * vision.patchSize, originalHeight: grid.height * vision.patchSize,
                patchCount: grid.count, featureCount: features)
            let before = 11, answer = (before + features + 1 + shape.tokens) / 2
            var rows: [TokenRow] = []
            for place in 0..<shape.tokens {
                let isPicture = (before..<before + features).contains(place)
                // The picture's positions span its longer side, and the text goes on behind.
                let text = Int32(place < before ? place : place - features + max(shape.rows, shape.columns))
                let cell = Int32(place - before), columns = Int32(shape.columns)
                rows.append(
                    isPicture
                        ? TokenRow(
                            id: configuration.imageToken,
                            position: SIMD3(0, cell / columns, cell % columns) &+ Int32(before), item: 0)
                        : TokenRow(
                            id: Int32((place * 7919 + index * 104_729 + 13) % 31000),
                            position: SIMD3(repeating: text), isSupervised: place >= answer))
            }
            return ProcessedSequence(rows: rows, items: [picture], nextPosition: 0, promptText: "")
        }
    }

    /// So that all threads have about as much to do: longest first, each to the one that has least.
    private static func microBatches(_ sequences: [ProcessedSequence], count: Int) -> [[ProcessedSequence]] {
        var batches: [[ProcessedSequence]] = Array(repeating: [], count: count)
        for sequence in sequences {
            let loads = batches.map { $0.reduce(0) { $0 + $1.rows.count } }
            guard let least = loads.indices.min(by: { loads[$0] < loads[$1] }) else { break }
            batches[least].append(sequence)
        }
        return batches.filter { !$0.isEmpty }
    }

    private static let configuration = """
        {"model_type": "qwen2_vl", "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
         "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 32000, "max_position_embeddings": 32768,
         "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 1e6, "tie_word_embeddings": true,
         "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]}, "use_sliding_window": false,
         "vision_start_token_id": 31996, "vision_end_token_id": 31997, "image_token_id": 31998,
         "video_token_id": 31999, "bos_token_id": 0, "eos_token_id": 1,
         "vision_config": {"depth": 8, "embed_dim": 384, "hidden_size": 512, "mlp_ratio": 4, "num_heads": 6,
          "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
          "hidden_act": "quick_gelu"}}
        """
}
