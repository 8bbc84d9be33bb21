internal import Models

/// How a model is spread over devices.
public struct Sharding: Sendable, Equatable, Codable {
    public var devices: Int
    public var tensorParallel = 1
    public var pipelineParallel = 1
    /// What data-parallel devices hold shares of.
    public var kind = ShardingKind.none
    /// Whether blocks are computed again in the backward pass instead of kept.
    public var isCheckpointed = false
    /// Rows computed at the same time on a device.
    public var rows = 1

    public init(devices: Int) { self.devices = devices }

    /// Devices that hold one copy of the model.
    public var modelParallel: Int { tensorParallel * pipelineParallel }
    /// Copies of the model, or what stands for them.
    public var dataParallel: Int { max(1, devices / modelParallel) }
}

/// Bytes on one device at the worst moment of a step.
public struct MemoryPlan: Sendable, Equatable, Codable {
    public var weights = 0.0
    /// Sums over micro-batches, float32.
    public var gradients = 0.0
    /// Float32 weights, moments (in float32 or 8 bits) and, where one is kept, the mean of the weights.
    public var optimizer = 0.0
    /// What is kept for the backward pass.
    public var activations = 0.0
    /// What comes on top at the worst moment: gradients on their way, scores and their gradients, work of a block.
    public var temporary = 0.0
    /// Contexts, workspaces and what the allocator cannot use.
    public var runtime = 0.0

    /// Of the above what is in the CPU's memory for each GPU, and counted here alone.
    public var host = 0.0
    /// Whether weights of blocks are among that.
    public var areBlocksAway = false

    public var total: Double { weights + gradients + optimizer + activations + temporary + runtime }

    /// - Parameters:
    ///   - isFused: see `Activations`; on the CPU.
    ///   - keepsFrozenMasters: whether what is frozen is held in float32 too.
    public init(
        _ row: RowShape, _ model: ModelOutline, _ trained: TrainedShare, precision: Recipe.Precision,
        sharding: Sharding, isFused: Bool, keepsFrozenMasters: Bool = false
    ) {
        let element = Double(precision == .bf16 ? 2 : 4), parallel = Double(sharding.modelParallel)
        let learning = Double(trained.learning) / parallel
        let frozen = Double(model.count - trained.learningWeights) / parallel
        let copies = Double(sharding.dataParallel)
        // In float32 the weights that learn are the optimiser's own.
        weights = element * (precision == .bf16 ? frozen + learning : frozen) / (sharding.kind >= .full ? copies : 1)
        // 4 bits a value, 8 for each 64 of them, and 32 for each 256 of those.
        weights -= Double(trained.quantized.all) * (element - (4 + 8.0 / 64 + 32.0 / (64 * 256)) / 8) / parallel
        if keepsFrozenMasters { weights += 4 * frozen }
        let values = 4 * learning * (trained.hasAverage ? 2 : 1), shares = sharding.kind >= .optimizer ? copies : 1
        let moments = trained.momentSize * (2 * learning - Double(trained.singleMoments) / parallel)
        // Means over rows and columns are whole everywhere.
        optimizer = trained.factors.map { values / shares + 4 * Double($0) } ?? (values + moments) / shares
        gradients = 4 * learning / (sharding.kind >= .gradients ? copies : 1)
        let isOffloaded = trained.offload >= .optimizer && !isFused
        areBlocksAway = isOffloaded && trained.offload == .parameters
        if isOffloaded {
            (host, optimizer, gradients) = (optimizer + gradients, 0, 0)
            // The device computes with copies.
            if precision == .f32 { weights += element * learning / (sharding.kind >= .full ? copies : 1) }
        }
        if areBlocksAway {
            // All but matrices in 4 bits. In float32 what learns is there already.
            let away = element * Double(model.blockCount - trained.quantized.all) / parallel
            let share = precision == .f32 ? 1 - Double(trained.learningWeights) / Double(model.count) : 1
            weights -= away / (sharding.kind >= .full ? copies : 1)
            host += away * share / (sharding.kind >= .full ? copies : 1)
        }
        let passes = Activations(
            row, model, trained, element: Int(element), isFused: isFused,
            isCheckpointed: sharding.isCheckpointed || areBlocksAway)
        // Stages of a pipeline hold as many rows at a time as there are stages.
        let rows = Double(sharding.rows), shared = Double(sharding.tensorParallel)
        activations = passes.kept * rows / shared
        let peak = passes.peak(gradientShare: shared / parallel, leave: sharding.kind >= .gradients || areBlocksAway)
        temporary = (peak - passes.kept) * rows / shared + element * Double(trained.quantized.largest) / parallel
        if sharding.kind >= .full || areBlocksAway, let layers = model.decoder?.layers {
            // Two layers' weights at a time: the one at work and the next.
            temporary += 2 * element * Double(model.count(of: .decoder)) / parallel / Double(layers)
        }
        if !isFused { runtime = 1.5e9 + 0.03 * (weights + gradients + optimizer + activations + temporary) }
    }
}
