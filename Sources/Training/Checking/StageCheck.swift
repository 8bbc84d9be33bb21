internal import Data
internal import Foundation
internal import Models
internal import NN
internal import Text
internal import Torch

/// What `omma check` finds out about a stage.
public struct StageCheck: Sendable, Codable {
    /// A part of a sample as it is learned.
    public struct Piece: Sendable, Codable, Equatable {
        public var text: String
        public var isSupervised: Bool
        /// Features of a picture, of which there are `count`.
        public var picture: Int?
        public var count: Int
    }

    public struct Sample: Sendable, Codable {
        public var id: String
        public var pieces: [Piece]
    }

    public struct Part: Sendable, Codable {
        public var name: String
        public var learning: Int
        public var all: Int
    }

    public var name: String
    public var parts: [Part]
    /// Samples that were looked at, and those that cannot be used.
    public var seen: Int
    public var unusable: [String]
    /// An average row of those that were packed.
    public var row: RowShape
    public var rows: Int
    /// What the recipe expects and the data does not hold.
    public var surprises: [String]
    public var learning: LearningCheck
    public var samples: [Sample]
    /// The row that takes most memory of those that were packed.
    public var worstRow: RowShape
    /// What the plan says for it on this machine, and what was counted; nil on a device that does not count.
    public var planned: MemoryPlan
    public var measuredSetup: Int?
    public var measuredPass: Int?
    public var secondsPerStep: Double
    public var steps: Int
    public var checkpointBytes: Int
    public var problems: [String]

    public var seconds: Double { secondsPerStep * Double(steps) }
    public var plannedPass: Double { planned.activations + planned.temporary }
    public var plannedSetup: Double { planned.weights + planned.gradients + planned.optimizer }
}

extension Trainer {
    /// Looks at every stage as if it were the first: packs rows, learns nothing, writes nothing but the run's folder.
    ///
    /// Memory is counted only while `TensorMemory` counts, which it must from before the model was made.
    ///
    /// - Parameter rows: rows to pack for a stage, at least one step's.
    public func check(rows: Int = 8) throws -> [StageCheck] {
        let outline = try ModelOutline(recipe.model)
        return try recipe.stages.indices.map { try check($0, outline, rows: rows) }
    }

    private func check(_ index: Int, _ outline: ModelOutline, rows wanted: Int) throws -> StageCheck {
        let stage = recipe.stages[index]
        let runner = try makeRunner(index)
        defer { runner.stop() }
        if stage.memory.offload == .parameters { try spread(runner) }
        var batches: [BatchPacker.Step] = []
        repeat { batches.append(try runner.nextBatch()) } while batches.count * stage.batch.accumulation < wanted
        runner.stop()
        let packed = batches.flatMap(\.microBatches).filter { !$0.isEmpty }
        let rows = packed.map { RowShape($0.compactMap(\.sequence), outline) }
        let share = TrainedShare(stage, of: outline)
        func plan(_ row: RowShape) -> MemoryPlan {
            MemoryPlan(
                row, outline, share, precision: recipe.precision, sharding: Sharding(devices: 1),
                isFused: model.store.device == .cpu,

                keepsFrozenMasters: keepsFrozenMasters(index))
        }
        let first = batches.first { $0.microBatches.joined().contains { $0.sequence?.items.isEmpty == false } }
        let learning = try runner.check(first ?? batches[0])
        let skipped = batches.flatMap(\.skipped)
        var problems = learning.problems(minSupervised: recipe.minSupervised)
        let seen = batches.reduce(0) { $0 + $1.seen }
        if skipped.count > 10, Double(skipped.count) > recipe.maxSkippedSamples * Double(seen) {
            problems.append("\(skipped.count) of \(seen) samples cannot be used, more than max_skipped_samples allows")
        }

        let isDropping = stage.data.contains { source in
            if case .messages(_, _, .drop) = source.kind { source.weight > 0 } else { false }
        }
        if isDropping, !outline.towers.isEmpty, !rows.contains(where: { $0.pictures > 0 }) {
            problems.append("unmarked_pictures is drop, and no picture is left: the run would learn without any")
        }

        let worst = packed.indices.max { plan(rows[$0]).total < plan(rows[$1]).total }
        let device = model.store.device
        var measured: Int?
        if let worst {
            let held = TensorMemory.use(on: device)?.held
            TensorMemory.resetPeak(on: device)
            _ = try runner.gradients(of: [packed[worst]])
            measured = TensorMemory.use(on: device).flatMap { use in held.map { use.peak - $0 } }
        }
        let worstRow = worst.map { rows[$0] } ?? RowShape([], outline)
        let samples = try packed.joined().prefix(2).compactMap { sample in
            try sample.sequence.map {
                StageCheck.Sample(id: sample.id, pieces: try StageCheck.pieces(of: $0, processor.tokenizer))
            }
        }
        let mean = RowShape(mean: rows)
        let summary = summary(stage, runner)
        let element = recipe.precision.dtype.size
        // A run frees what the optimiser holds itself; here the next stage starts from it.
        let extra = runner.optimizer.names.reduce(0) { sum, name in
            masters[name].map { $0.device == device ? sum + 4 * $0.count : sum } ?? sum
        }
        _ = try runner.optimizer.release()
        adapters?.detach()
        adapters = nil
        state.base = nil
        return StageCheck(
            name: stage.name,
            parts: summary.parts.map { StageCheck.Part(name: $0.part, learning: $0.learning, all: $0.all) },
            seen: seen, unusable: skipped.map { "\($0.id): \($0.message)" }, row: mean, rows: rows.count,
            surprises: stage.expect.map { StageCheck.surprises($0, mean) } ?? [], learning: learning, samples: samples,
            worstRow: worstRow, planned: plan(worstRow), measuredSetup: runner.setupBytes.map { $0 - extra },
            measuredPass: measured, secondsPerStep: learning.seconds, steps: stage.steps,
            checkpointBytes: outline.count * element * (stage.average == nil ? 1 : 2)
                + summary.learning * (stage.average == nil ? 12 : 16), problems: problems)
    }
}

extension Trainer {
    /// Whether frozen weights are held in float32 too: those that bf16 would not give back.
    private func keepsFrozenMasters(_ index: Int) -> Bool {
        if case .random = recipe.model.start { return recipe.precision != .f32 && recipe.stages[index].lora == nil }
        return false
    }
}

extension StageCheck {
    /// Neighbours that are alike joined; features of a picture counted.
    static func pieces(of sequence: ProcessedSequence, _ tokenizer: Tokenizer) throws -> [Piece] {
        var pieces: [Piece] = []
        var ids: [Int32] = []
        func flush() throws {
            guard let last = pieces.indices.last, !ids.isEmpty else { return }
            pieces[last].text = try tokenizer.decode(ids)
            ids = []
        }
        for row in sequence.rows {
            let picture = row.item >= 0 ? Int(row.item) : nil
            if let last = pieces.last, last.isSupervised == row.isSupervised, last.picture == picture {
                pieces[pieces.count - 1].count += 1
            } else {
                try flush()
                pieces.append(Piece(text: "", isSupervised: row.isSupervised, picture: picture, count: 1))
            }
            if picture == nil { ids.append(row.id) }
        }
        try flush()
        return pieces
    }

    /// Means that are off by more than a third.
    static func surprises(_ expected: Recipe.Expectation, _ found: RowShape) -> [String] {
        let pairs: [(String, Double?, Double)] = [
            ("samples", expected.samples, found.samples), ("tokens", expected.tokens, found.tokens),
            ("supervised tokens", expected.supervised, found.supervised),
            ("pictures", expected.pictures, found.pictures), ("patches", expected.patches, found.patches),
        ]
        return pairs.compactMap { name, expected, found in
            guard let expected, abs(found - expected) > max(expected, found) / 3 else { return nil }
            return "a row holds \(Int(found.rounded())) \(name); the recipe expects \(Int(expected.rounded()))"
        }
    }
}

extension RowShape {
    /// The mean of several rows.
    init(mean rows: [RowShape]) {
        func mean(_ value: (RowShape) -> Double) -> Double {
            rows.reduce(0) { $0 + value($1) } / Double(max(1, rows.count))
        }
        samples = mean(\.samples)
        tokens = mean(\.tokens)
        supervised = mean(\.supervised)
        pictures = mean(\.pictures)
        patches = mean(\.patches)
        patchSegment = mean(\.patchSegment)
        columns = mean(\.columns)
    }
}
