public import Models
internal import NN
internal import Torch

/// What one step did.
public struct StepReport: Sendable {
    /// Mean over the supervised tokens of the whole batch, weighed as the stage weighs them, with what joins it: balance of
    /// experts, squared log-sum-exp.
    public var loss: Double
    /// Before clipping.
    public var gradientNorm: Double
    public var tokens = 0
    public var supervisedTokens = 0
    public var patches = 0
    public var pictures = 0
    public var samples = 0
    /// False if loss or gradient were not finite, or the loss above the limit: then nothing was changed.
    public var isApplied = true
    /// Rows that did not fit into memory and were computed in parts.
    public var halvedRows = 0
    /// Why nothing was changed, where it was not for the numbers.
    public var problem: String?
    /// Mean over the places that show something, where a stage teaches them.
    public var regionLoss: Double? { regionLosses.isEmpty ? nil : regionLosses.values.reduce(0, +) }
    /// How much more the rank with the dearest micro-batches has to do than the mean rank; nil for one process.
    public var imbalance: Double?
    /// Its parts by name.
    public var regionLosses: [String: Double] = [:]
}

/// Forward and backward passes over the micro-batches of one step, and the update.
public struct TrainingStep {
    public let model: VisionLanguageModel
    public let optimizer: Optimizer
    public var memory: Recipe.Memory
    /// How tokens are weighed.
    public var loss = Recipe.Loss()
    /// Residual branches that are left out at random.
    public var dropPath = DropPath()
    private let threads: WorkerThreads
    private let regions: (heads: RegionHeads, settings: Recipe.Regions)?

    /// - Parameter threads: micro-batches computed at the same time, each by one thread.
    public init(
        model: VisionLanguageModel, optimizer: Optimizer, memory: Recipe.Memory = .init(), threads: Int = 1
    ) {
        self.init(model: model, optimizer: optimizer, memory: memory, threads: WorkerThreads(threads))
    }

    init(
        model: VisionLanguageModel, optimizer: Optimizer, memory: Recipe.Memory = .init(), threads: WorkerThreads,
        regions: (RegionHeads, Recipe.Regions)? = nil
    ) {
        self.regions = regions
        self.model = model
        self.optimizer = optimizer
        self.memory = memory
        self.threads = threads
    }

    /// Gradients of the weighed mean over all supervised tokens of all micro-batches, whatever their number: splitting a
    /// batch differently changes nothing. Of several processes each is given all micro-batches, and computes its share.
    ///
    /// - Parameter seed: of what dropout and `dropPath` choose; nil drops nothing.
    public func accumulate(_ microBatches: [[ProcessedSequence]], seed: UInt64? = nil) throws -> StepReport {
        try accumulate(microBatches, regions: microBatches.map { $0.map { _ in nil } }, seed: seed)
    }

    /// - Parameter targets: what is known of the pictures of each sequence.
    func accumulate(
        _ microBatches: [[ProcessedSequence]], regions targets: [[RegionTargets?]], seed: UInt64?
    ) throws -> StepReport {
        try accumulate(Self.samples(microBatches, targets), deal: nil, seed: seed)
    }

    private static func samples(
        _ microBatches: [[ProcessedSequence]], _ targets: [[RegionTargets?]]
    ) -> [[PreparedSample]] {
        zip(microBatches, targets).map { sequences, targets in
            zip(sequences, targets).map {
                PreparedSample(number: 0, id: "", source: "", result: .success($0), regions: $1)
            }
        }
    }

    /// Which rank computes which micro-batches, and what each needs for it.
    ///
    /// - Parameter cost: of a micro-batch.
    func deal(_ microBatches: [[PreparedSample]], cost: (SampleSize) -> Double) -> BatchDeal {
        BatchDeal(
            microBatches.map { $0.map(\.amount) }, ranks: optimizer.ranks.size,
            keepsStep: optimizer.isSpread || !model.store.anchors.isEmpty, cost: cost)
    }

    /// - Parameters:
    ///   - microBatches: of all ranks; what this one does not need may be without its sequence.
    ///   - deal: which rank computes what; found here where nil.
    func accumulate(_ microBatches: [[PreparedSample]], deal: BatchDeal?, seed: UInt64?) throws -> StepReport {
        do { return try accumulate(microBatches, deal: deal, seed: seed, stream: optimizer.stream) } catch let error
            as TorchError
            where error.kind == .outOfMemory && memory.whenFull == .halve && optimizer.everyone.size == 1
            && optimizer.stream != nil
        {
            // Gradients that are added already cannot be taken back. Again, with each row's kept until the row is done,
            // so that a row that does not fit can be halved.
            return try accumulate(microBatches, deal: deal, seed: seed, stream: nil)
        }
    }

    private func accumulate(
        _ microBatches: [[PreparedSample]], deal: BatchDeal?, seed: UInt64?, stream: GradientStream?
    ) throws -> StepReport {
        var report = Self.counts(microBatches)
        report.loss = 0
        report.gradientNorm = 0
        report.isApplied = true
        optimizer.abandonPass()
        try optimizer.zeroGradients()
        let ranks = optimizer.ranks
        let deal = deal ?? self.deal(microBatches) { Double($0.tokens + $0.patches) }
        if ranks.size > 1 { report.imbalance = deal.imbalance }
        let weight = loss.weight(counts: microBatches.joined().map(\.amount.supervised))
        let shares = Shares(microBatches.joined().amount, weight: weight, regions?.settings)
        let leaves = optimizer.leaves + model.store.anchors
        let own = deal.work[ranks.rank], longest = deal.work.map(\.count).max() ?? 0
        // Ranks that go through the same blocks at the same time cannot go their own ways.
        let canHalve =
            memory.whenFull == .halve && !optimizer.isSpread
            && !model.store.parameters.contains { $0.partition != nil }
        // Gradients are added in the order of the micro-batches, so that the sum does not depend on who is first.
        for start in stride(from: 0, to: longest, by: threads.count) {
            let wave = start < own.count ? Array(own[start..<min(start + threads.count, own.count)]) : []
            defer { stream?.leave() }
            try stream?.begin(places: max(1, wave.count), isLast: start + threads.count >= longest)
            let parts = try threads.map(wave.count) { [model, memory, loss, dropPath] index in
                // Of the place in the step, not of the thread.
                let random = try seed.map {
                    try RandomGenerator(seed: $0 &+ UInt64(wave[index].microBatch) &* 0x9E37_79B9_7F4A_7C15)
                }
                let work = microBatch(wave[index], of: microBatches, shares)
                let parts = try DropoutRandom.$generator.withValue(random) {
                    try work.passes(canHalve: { canHalve && stream?.hasTaken(from: index) != true }) { pass in
                        // Halves give back their gradients, and are handed in together.
                        let isWhole = pass.sequences.count == work.sequences.count
                        return try GradientStream.$place.withValue(isWhole ? index : GradientStream.nowhere) {
                            try model.gradients(
                                of: pass, for: leaves, memory: memory, loss: loss, dropPath: dropPath)
                        }
                    }
                }
                if parts.count > 1 { try stream?.take(parts.compactMap { $0?.gradients }, place: index) }
                try stream?.finish(place: index)
                return parts
            }
            if wave.isEmpty { try stream?.finish(place: 0) }
            try stream?.end()
            report.halvedRows += parts.reduce(0) { $0 + $1.count - 1 }
            for part in parts.joined() {
                guard let part else { continue }
                report.loss += part.loss
                for (lesson, loss) in part.lessons {
                    report.regionLosses[lesson.rawValue, default: 0] += loss / Double(max(1, shares.count(lesson)))
                }
                if stream == nil { try optimizer.add(part.gradients) }
            }
        }
        try combine(&report)
        report.gradientNorm = try optimizer.gradientNorm()
        return report
    }

    /// What a batch holds, and that nothing came of it yet.
    private static func counts(_ microBatches: [[PreparedSample]]) -> StepReport {
        let total = microBatches.joined().amount
        var report = StepReport(loss: .nan, gradientNorm: .nan)
        report.isApplied = false
        report.samples = total.samples
        report.tokens = total.tokens
        report.supervisedTokens = total.supervised
        report.patches = total.patches
        report.pictures = total.pictures
        return report
    }

    /// Asked before each forward pass with its sequences; what it throws takes the pass's place. Only tests set this.
    @TaskLocal static var beforePass: (@Sendable ([ProcessedSequence]) throws -> Void)?

    /// What a part of a loss counts in the whole step's.
    private struct Shares {
        /// Of a supervised token, of a place that shows something, and of a token that is told where to look.
        var token: Double
        var place: Double
        var look: Double
        private let places: Int
        private let looks: Int

        /// - Parameter weight: of all supervised tokens together.
        init(_ total: SampleSize, weight: Double, _ regions: Recipe.Regions?) {
            (places, looks) = (total.foreground, total.looks)
            token = 1 / max(1, weight)
            place = (regions?.weight ?? 0) / Double(max(1, places))
            look = (regions?.look ?? 0) / Double(max(1, looks))
        }

        func count(_ lesson: RegionHeads.Lesson) -> Int { lesson.isOfLooks ? looks : places }
    }

    private func microBatch(
        _ work: BatchDeal.Work, of microBatches: [[PreparedSample]], _ shares: Shares
    ) -> MicroBatch {
        func sample(_ place: BatchDeal.Place) -> PreparedSample { microBatches[place.microBatch][place.index] }
        let own = microBatches[work.microBatch].filter { $0.sequence != nil }, known = own.map(\.regions)
        // Where one of the sequences is not known, the order of features is not either.
        let lesson =
            known.contains { $0 == nil }
            ? nil
            : regions.map {
                RegionLesson(
                    heads: $0.heads, targets: known.compactMap(\.self), share: shares.place, lookShare: shares.look,
                    isAlone: !$0.settings.answers)
            }
        var result = MicroBatch(sequences: own.compactMap(\.sequence), share: shares.token, lesson: lesson)
        if let borrowed = work.borrowed {
            result = MicroBatch(sequences: [sample(borrowed)].compactMap(\.sequence), share: 0)
        }
        result.companion = work.companion.flatMap {
            sample($0).sequence?.items.min { $0.pixels.count < $1.pixels.count }
        }
        return result
    }

    /// Adds up losses of all processes, and waits for gradients that are on their way.
    private func combine(_ report: inout StepReport) throws {
        try optimizer.finishPass()
        let ranks = optimizer.ranks
        guard ranks.size > 1 else { return }
        let lessons = RegionHeads.Lesson.allCases.map(\.rawValue)
        let counts = [report.samples, report.tokens, report.supervisedTokens, report.patches].map(Double.init)
        let numbers = try ranks.gathered(
            counts + [report.loss] + lessons.map { report.regionLosses[$0] ?? 0 }, for: "sharing losses")
        for (rank, there) in numbers.enumerated() where Array(there.prefix(counts.count)) != counts {
            throw ProcessGroupError.mismatch(
                rank: ranks.rank, other: rank, what: "a batch (samples, tokens, supervised tokens, patches)",
                here: "\(counts.map { Int($0) })", there: "\(there.prefix(counts.count).map { Int($0) })")
        }
        func sum(_ index: Int) -> Double { numbers.reduce(0) { $0 + $1[counts.count + index] } }
        report.loss = sum(0)
        for (index, lesson) in lessons.enumerated() {
            let isThere = numbers.contains { $0[counts.count + 1 + index] != 0 }
            if isThere { report.regionLosses[lesson] = sum(1 + index) }
        }
    }

    /// One whole step. Where loss or gradient are not finite, or the loss is above `limit`, weights and moments stay as
    /// they are.
    public func callAsFunction(
        _ microBatches: [[ProcessedSequence]], rate: Double, clip: Double?, limit: Double? = nil, seed: UInt64? = nil
    ) throws -> StepReport {
        try self(
            microBatches, regions: microBatches.map { $0.map { _ in nil } }, rate: rate, clip: clip, limit: limit,
            seed: seed)
    }

    func callAsFunction(
        _ microBatches: [[ProcessedSequence]], regions: [[RegionTargets?]], rate: Double, clip: Double?,
        limit: Double? = nil, seed: UInt64? = nil
    ) throws -> StepReport {
        try self(Self.samples(microBatches, regions), deal: nil, rate: rate, clip: clip, limit: limit, seed: seed)
    }

    func callAsFunction(
        _ microBatches: [[PreparedSample]], deal: BatchDeal?, rate: Double, clip: Double?, limit: Double?, seed: UInt64?
    ) throws -> StepReport {
        var report: StepReport
        do { report = try accumulate(microBatches, deal: deal, seed: seed) } catch let error as TorchError
            where error.kind == .outOfMemory && memory.whenFull != .stop && optimizer.everyone.size == 1
        {
            // The gradients that were collected are thrown away by the next step.
            report = Self.counts(microBatches)
            report.problem = error.description
            return report
        }
        report.isApplied =
            try report.loss <= limit ?? .infinity
            && optimizer.update(loss: report.loss, norm: report.gradientNorm, rate: rate, clip: clip)
        return report
    }
}
