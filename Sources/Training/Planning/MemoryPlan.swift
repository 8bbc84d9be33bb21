internal import Models

/// How a model is spread over devices.
public struct Sharding: Sendable, Equatable, Codable {
    public var devices: Int
    public var tensorParallel = 1
    public var pipelineParallel = 1
    /// ZeRO's stage (Rajbhandari et al. 2020): 1 shares optimiser state among data-parallel devices, 2 gradients too, 3
    /// weights too.
    public var zero = 0
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
    /// Float32 weights and both moments.
    public var optimizer = 0.0
    /// What is kept for the backward pass.
    public var activations = 0.0
    /// What comes on top at the worst moment: gradients on their way, scores and their gradients, work of a block.
    public var temporary = 0.0
    /// Contexts, workspaces and what the allocator cannot use.
    public var runtime = 0.0

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
        weights = element * (precision == .bf16 ? frozen + learning : frozen) / (sharding.zero >= 3 ? copies : 1)
        if keepsFrozenMasters { weights += 4 * frozen }
        optimizer = 12 * learning / (sharding.zero >= 1 ? copies : 1)
        gradients = 4 * learning / (sharding.zero >= 2 ? copies : 1)
        let passes = Activations(
            row, model, trained, element: Int(element), isFused: isFused, isCheckpointed: sharding.isCheckpointed)
        // Stages of a pipeline hold as many rows at a time as there are stages.
        let rows = Double(sharding.rows), shared = Double(sharding.tensorParallel)
        activations = passes.kept * rows / shared
        let peak = passes.peak(gradientShare: shared / parallel, leave: sharding.zero >= 2)
        temporary = (peak - passes.kept) * rows / shared
        if sharding.zero >= 3, let layers = model.decoder?.layers {
            // Two layers' weights at a time: the one at work and the next.
            temporary += 2 * element * Double(model.count(of: .decoder)) / parallel / Double(layers)
        }
        if !isFused { runtime = 1.5e9 + 0.03 * (weights + gradients + optimizer + activations + temporary) }
    }
}
