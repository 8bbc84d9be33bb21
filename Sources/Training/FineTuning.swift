public import Data
public import Foundation
public import Models
internal import NN
public import Torch

/// From a model and a file of conversations to a recipe with sensible numbers.
public struct FineTuning: Sendable {
    public var model: URL
    public var data: URL
    /// The folder that names of pictures start from; that of the file where nil.
    public var images: URL?
    public var unmarked = UnmarkedPictures.error
    /// Conversations that are measured on and not learned.
    public var heldOut: URL?
    public var output: URL
    /// Of the adapters; nil trains all but the tower.
    public var rank: Int? = 16
    /// Whether adapters learn lengths of rows apart (DoRA).
    public var isWeightDecomposed = false
    /// Whether the base is held in 4 bits (QLoRA).
    public var hasQuantizedBase = false
    /// Parts or patterns that learn, or get adapters; all that make sense where empty.
    public var parts: [String] = []
    public var epochs = 3.0
    /// In place of epochs.
    public var steps: Int?
    public var optimizer = Recipe.OptimizerKind.adamw
    /// Follows from the model's size where nil.
    public var learningRate: Double?
    public var maxPixels: Int?
    public var seed: UInt64 = 0
    public var threads: Int
    /// What it computes on.
    public var device = Device.cpu
    /// Processes that train together, and share the micro-batches of a step.
    public var ranks = 1

    public init(model: URL, data: URL, output: URL, threads: Int) {
        self.model = model
        self.data = data
        self.output = output
        self.threads = threads
    }

    /// What was found out on the way to the recipe.
    public struct Plan: Sendable {
        public var recipe: String
        public var rows: Int
        public var heldOutRows: Int
        /// Of rows that were looked at.
        public var meanTokens: Double
        public var longest: Int
        public var samplesPerStep: Double
        public var steps: Int
        public var learningRate: Double
        public var parameters: Int
        /// A few rows as the model reads them.
        public var examples: [ProcessedSequence]
        public var processor: any ConversationProcessor
    }

    /// Pictures of published models may take 16,000 tokens; few fine-tunes need them that large.
    static let usualPixels = 602_112
    private static let looked = 32

    /// Looks at the model and some rows, without loading weights.
    ///
    /// - Throws: what is wrong with the model's files, or with a row that was looked at.
    public func plan() throws -> Plan {
        let folder = try ModelFolder(model)
        guard folder.adapter == nil else { throw CheckpointError.adapter(folder: model.path) }
        let limits = folder.processor.pixelLimits
        let limit =
            maxPixels
            ?? limits.flatMap { limits in
                limits.upperBound > Self.usualPixels && limits.lowerBound < Self.usualPixels ? Self.usualPixels : nil
            }
        // Whoever wants no picture larger than the model would make a small one wants small ones as large.
        let least = limit.flatMap { limit in limits.flatMap { $0.lowerBound > limit ? limit : nil } }
        let processor = try folder.processor.limitingPixels(min: least, max: limit)
        let file = try ConversationFile(data, images: images, unmarked: unmarked)
        let source = ConversationSource(file, sampling: processor.videoSampling)
        let rows = min(file.count, Self.looked)
        let sequences = try (0..<rows).map { number in
            try processor.process(source.sample(at: number * file.count / rows).conversation, .training)
        }
        let lengths = sequences.map(\.rows.count)
        let mean = Double(lengths.reduce(0, +)) / Double(rows), longest = lengths.max() ?? 1
        let count = try folder.family.makeModel(ParameterStore(.shapes)).store.parameters.reduce(0) { $0 + $1.count }
        // A micro-batch holds the longest row with room to spare; a step has two of them, or one for each rank.
        let tokens = max(4096, longest * 5 / 4), perBatch = 8
        let microBatches = max(2, ranks)
        let samplesPerStep = Double(microBatches) * min(Double(perBatch), Double(tokens) / mean)
        let steps = steps ?? max(1, Int((epochs * Double(file.count) / samplesPerStep).rounded(.up)))
        let rate = learningRate ?? Self.learningRate(parameters: count, isAdapter: rank != nil)
        let held = try heldOut.map { try ConversationFile($0, images: images, unmarked: unmarked).count } ?? 0
        let numbers = Numbers(
            tokens: tokens, perBatch: perBatch, microBatches: microBatches, steps: steps, rate: rate, least: least,
            limit: limit, heldOutRows: held,
            isSmall: count < 200_000_000)
        return Plan(
            recipe: recipe(numbers), rows: file.count, heldOutRows: held, meanTokens: mean, longest: longest,
            samplesPerStep: samplesPerStep, steps: steps, learningRate: rate, parameters: count,
            examples: Array(sequences.prefix(3)), processor: processor)
    }

    /// MM1's fit of the best rate of pre-training (`exp(-0.4214 ln N - 0.5535)`, section 3.3) gives the scale with the
    /// size; adapters take three times as much, whole models a sixth.
    static func learningRate(parameters: Int, isAdapter: Bool) -> Double {
        let fit = exp(-0.4214 * log(Double(max(1, parameters))) - 0.5535) * (isAdapter ? 3 : 1.0 / 6)
        let digits = pow(10, floor(log10(fit)) - 1)
        return (fit / digits).rounded() * digits
    }

    private struct Numbers {
        var tokens: Int
        var perBatch: Int
        var microBatches: Int
        var steps: Int
        var rate: Double
        /// Of pixels.
        var least: Int?
        var limit: Int?
        var heldOutRows: Int
        /// Small models use cores best with a micro-batch on each.
        var isSmall: Bool
    }

    private func recipe(_ numbers: Numbers) -> String {
        func quoted(_ text: String) -> String {
            // A JSON string is one in YAML, too.
            let data = (try? JSONEncoder().encode(text)) ?? Data()
            return String(decoding: data, as: UTF8.self).replacingOccurrences(of: "\\/", with: "/")
        }
        func source(_ url: URL) -> String {
            "{jsonl: \(quoted(url.path))" + (images.map { ", images: \(quoted($0.path))" } ?? "")
                + (unmarked == .error ? "" : ", unmarked_pictures: \(unmarked.rawValue)") + "}"
        }
        /// With a point, which makes it a number in every reader of YAML.
        func decimal(_ number: Double) -> String {
            let text = "\(number)"
            return text.contains(".") ? text : text.replacingOccurrences(of: "e", with: ".0e")
        }
        let learning: String
        if let rank {
            let on = parts.isEmpty ? "" : ", on: [\(parts.map(quoted).joined(separator: ", "))]"
            let kind = (isWeightDecomposed ? ", dora: true" : "") + (hasQuantizedBase ? ", base_bits: 4" : "")
            learning = "lora: {rank: \(rank), alpha: \(2 * rank)\(kind)\(on)}"
        } else {
            learning =
                "train: [\((parts.isEmpty ? ["merger", "embedding", "decoder"] : parts).joined(separator: ", "))]"
        }
        let steps = numbers.steps, cadence = max(1, min(500, (steps + 3) / 4))
        var lines = [
            "# Written by omma finetune; omma train runs it, too.",
            "name: \(quoted(output.lastPathComponent))",
            "model: {checkpoint: \(quoted(model.path))" + (numbers.least.map { ", min_pixels: \($0)" } ?? "")
                + (numbers.limit.map { ", max_pixels: \($0)" } ?? "") + "}",
            "seed: \(seed)",
            "precision: bf16",
            "output: \(quoted(output.path))",
            "keep: 2",
            "workers: \(max(1, min(4, threads)))",
            "threads: \(numbers.isSmall && device == .cpu ? max(1, min(2, threads)) : 1)",
        ]
        if device != .cpu { lines.append("device: \(device)") }
        if let heldOut {
            lines += ["held_out: {samples: \(min(200, numbers.heldOutRows)), data: [\(source(heldOut))]}"]
        }
        lines += [
            "stages:",
            "  - name: tune",
            "    \(learning)",
            "    steps: \(steps)",
            "    optimizer: \(optimizer.rawValue)",
            "    learning_rate: \(decimal(numbers.rate))",
            "    clip: 1.0",
            "    schedule: {kind: cosine, warmup_steps: \(min(steps, max(1, steps * 3 / 100))), final_ratio: 0.05}",
            "    batch: {tokens: \(numbers.tokens), max_samples: \(numbers.perBatch), accumulation: \(numbers.microBatches), "
                + "look_ahead: 32}",
            "    memory: {" + (numbers.isSmall ? "" : "recompute: [tower, decoder], ") + "loss_rows: 512}",
            "    checkpoint_every: \(cadence)",
            "    log_every: \(max(1, min(10, steps / 10)))",
        ]
        if heldOut != nil { lines += ["    evaluate_every: \(cadence)"] }
        lines += ["    data: [\(source(data))]", ""]
        return lines.joined(separator: "\n")
    }
}
