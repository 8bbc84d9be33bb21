internal import Foundation
public import Models

/// What a run will take, known before it starts.
public struct RunPlan: Sendable, Codable {
    /// What to plan for.
    public struct Options: Sendable {
        public var accelerator: Accelerator
        public var devices: Int
        public var nodes: Int
        /// The share of the device's peak that products reach.
        public var utilisation = 0.4
        /// What devices hold shares of, and checkpointing; nil takes what the recipe says, or the cheapest that fits.
        public var sharding: ShardingKind?
        public var isCheckpointed: Bool?
        public var tensorParallel = 1
        public var pipelineParallel = 1
        public var rows = 1

        public init(_ accelerator: Accelerator, devices: Int, nodes: Int? = nil) {
            self.accelerator = accelerator
            self.devices = devices
            self.nodes = nodes ?? (devices + 7) / 8
        }
    }

    public struct Part: Sendable, Codable {
        public var name: ModelPart
        public var parameters: Int
    }

    public var recipe: String
    public var model: String
    public var parameters: Int
    public var parts: [Part]
    public var accelerator: Accelerator
    public var devices: Int
    public var nodes: Int
    public var utilisation: Double
    public var stages: [StagePlan]

    /// All stages.
    public var days: Double { stages.reduce(0) { $0 + $1.days } }
    public var deviceHours: Double { stages.reduce(0) { $0 + $1.deviceHours } }
    public var cost: Double { deviceHours * accelerator.price }

    /// Plans all stages of a recipe. Its data need not be there.
    ///
    /// - Throws: `TrainingError.nothingMatches` for a pattern that fits no parameter, and what reading a configuration
    ///   throws.
    public init(_ recipe: Recipe, _ options: Options) throws {
        var recipe = recipe
        let outline = try ModelOutline(recipe.model)
        recipe.resolveRates(outline)
        self.recipe = recipe.name
        model = URL(fileURLWithPath: recipe.model.folder).lastPathComponent
        parameters = outline.count
        parts = ModelPart.allCases.compactMap { part in
            let count = outline.count(of: part)
            return count > 0 ? Part(name: part, parameters: count) : nil
        }
        accelerator = options.accelerator
        devices = options.devices
        nodes = options.nodes
        utilisation = options.utilisation
        stages = try recipe.stages.map { try StagePlan($0, recipe, outline, options) }
    }
}

/// One stage of a plan.
public struct StagePlan: Sendable, Codable {
    public var name: String
    public var learning: Int
    /// Parts that learn as a whole or in part.
    public var trained: [String]
    public var learningRate: Double
    public var steps: Int
    public var rowsPerStep: Int
    /// An average row, and whether the recipe says so or it is assumed to be full.
    public var row: RowShape
    public var isAssumed: Bool
    /// Of one row.
    public var operations: OperationCount
    public var sharding: Sharding
    public var memory: MemoryPlan
    public var fits: Bool
    /// How many devices must share a layer so that it fits, where it does not.
    public var neededTensorParallel: Int?
    public var secondsPerStep: Double
    public var deviceHours: Double
    public var published: Comparison?

    /// What the authors measured, beside what the plan says for the same devices.
    public struct Comparison: Sendable, Codable {
        public var source: String
        public var device: String
        public var devices: Int
        /// Samples a second, or hours of one device.
        public var unit: String
        public var published: Double
        public var planned: Double
        /// The utilisation at which the operations counted here give the published number.
        public var impliedUtilisation: Double
    }

    public var tokens: Double { row.tokens * Double(rowsPerStep) * Double(steps) }
    public var samples: Double { row.samples * Double(rowsPerStep) * Double(steps) }
    public var allOperations: Double { operations.all * Double(rowsPerStep) * Double(steps) }
    public var tokensPerSecond: Double { row.tokens * Double(rowsPerStep) / secondsPerStep }
    public var seconds: Double { secondsPerStep * Double(steps) }
    public var days: Double { seconds / 86400 }

    init(_ stage: Recipe.Stage, _ recipe: Recipe, _ model: ModelOutline, _ options: RunPlan.Options) throws {
        let names = model.entries.map(\.name)
        let parts = Dictionary(model.entries.map { ($0.name, $0.part) }) { first, _ in first }
        let patterns = stage.train + (stage.lora?.on ?? stage.multiples.map(\.pattern))
        let selection = ParameterSelection(patterns) { parts[$0] ?? .other }
        if let idle = selection.idle(among: names).first {
            throw TrainingError.nothingMatches(stage: stage.name, pattern: idle)
        }
        let share = TrainedShare(stage, of: model)
        name = stage.name
        learning = share.learning
        trained = ModelPart.allCases.filter(share.learns).map(\.rawValue)
        learningRate = stage.learningRate
        steps = stage.steps
        rowsPerStep = stage.batch.accumulation
        row = RowShape(stage, model)
        isAssumed = stage.expect?.tokens == nil && stage.expect?.patches == nil
        // Memory is for a full row, speed for an average one.
        var full = row
        full.tokens = max(row.tokens, Double(stage.batch.tokens))
        full.supervised *= full.tokens / max(1, row.tokens)

        func plan(_ kind: ShardingKind, _ isCheckpointed: Bool, tensorParallel: Int) -> (Sharding, MemoryPlan) {
            var sharding = Sharding(devices: options.devices)
            sharding.tensorParallel = tensorParallel
            sharding.pipelineParallel = options.pipelineParallel
            sharding.kind = kind
            sharding.isCheckpointed = isCheckpointed
            sharding.rows = options.rows
            return (
                sharding,
                MemoryPlan(full, model, share, precision: recipe.precision, sharding: sharding, isFused: false)
            )
        }
        let areBlocksAway = stage.memory.offload == .parameters
        let isCheckpointed: Bool? =
            areBlocksAway ? true : options.isCheckpointed ?? (stage.memory.recomputed.isEmpty ? nil : true)
        // Cheapest first: optimiser and gradients are shared for free, recomputing costs a third, gathering weights more.
        let needed: ShardingKind? = areBlocksAway ? (options.devices > 1 ? .full : ShardingKind.none) : nil
        let wanted = options.sharding ?? recipe.sharding ?? needed
        let known: [(ShardingKind, Bool)] = [
            (.none, false), (.optimizer, false), (.gradients, false), (.optimizer, true), (.gradients, true),
            (.full, false), (.full, true),
        ]
        let order = known.filter {
            (wanted == nil || wanted == $0.0) && (isCheckpointed ?? $0.1) == $0.1
        }
        let candidates = order.isEmpty ? [(wanted ?? .none, isCheckpointed ?? false)] : order
        let limit = Double(options.accelerator.memory)
        func best(_ tensorParallel: Int) -> (plan: (Sharding, MemoryPlan), fits: Bool) {
            let plans = candidates.map { plan($0.0, $0.1, tensorParallel: tensorParallel) }
            if let first = plans.first(where: { $0.1.total <= limit }) { return (first, true) }
            return (plans[plans.count - 1], false)
        }
        let chosen = best(options.tensorParallel)
        (sharding, memory) = chosen.plan
        fits = chosen.fits
        if !fits {
            neededTensorParallel = [2, 4, 8, 16].first {
                $0 > options.tensorParallel && $0 * options.pipelineParallel <= options.devices && best($0).fits
            }
        }

        operations = OperationCount(row, model, share, isCheckpointed: sharding.isCheckpointed)
        let waves = (rowsPerStep + sharding.dataParallel * sharding.rows - 1) / (sharding.dataParallel * sharding.rows)
        let speed = options.accelerator.peak * options.utilisation * Double(sharding.modelParallel)
        secondsPerStep = Double(waves * sharding.rows) * operations.all / speed
        deviceHours = secondsPerStep * Double(steps) * Double(options.devices) / 3600
        published = stage.expect?.published.flatMap { comparison($0, recipe, options.utilisation) }
    }

    private func comparison(
        _ published: Recipe.PublishedSpeed, _ recipe: Recipe, _ utilisation: Double
    ) -> Comparison? {
        guard recipe.model.folder == published.model, let device = Accelerator.named(published.device) else {
            return nil
        }
        // Without recomputing: how the authors ran it is rarely told.
        let perSample = operations.model / max(row.samples, 1e-9), peak = device.peak
        if let speed = published.samplesPerSecond {
            let full = peak * Double(published.devices) / perSample
            return Comparison(
                source: published.source, device: device.name, devices: published.devices, unit: "samples/s",
                published: speed, planned: full * utilisation, impliedUtilisation: speed / full)
        }
        let hours = operations.model * Double(rowsPerStep) * Double(steps) / peak / 3600,
            told = published.deviceHours ?? 0
        return Comparison(
            source: published.source, device: device.name, devices: published.devices, unit: "device hours",
            published: told, planned: hours / utilisation, impliedUtilisation: hours / told)
    }
}
