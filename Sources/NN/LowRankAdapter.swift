internal import Foundation
public import Torch

/// What is learned beside a frozen matrix: `x · downᵀ · upᵀ · scale` joins `x · weightᵀ` (LoRA, Hu et al. 2021).
public final class LowRankAdapter {
    /// `[rank, in]`; PEFT calls it `lora_A`.
    public let down: Parameter
    /// `[out, rank]`, zeros at first, so that a new adapter changes nothing; PEFT calls it `lora_B`.
    public let up: Parameter
    public let scale: Double
    /// The part of the input's elements that training leaves out on the way into `down`.
    public let dropout: Double

    init(down: Parameter, up: Parameter, scale: Double, dropout: Double) {
        self.down = down
        self.up = up
        self.scale = scale
        self.dropout = dropout
    }

    public var rank: Int { down.shape[0] }

    /// `[…, in]` gives `[…, out]`.
    func callAsFunction(_ x: Tensor) throws -> Tensor {
        try x.droppingOut(dropout).linear(down.tensor).linear(up.tensor) * scale
    }

    /// What the adapter adds to the weight: `[out, in]`, float32.
    public func delta() throws -> Tensor {
        try up.tensor.to(.float32).matmul(down.tensor.to(.float32)) * scale
    }
}

/// The adapters of a model: built over a parameter store of their own, whose names are those of the adapted layers with
/// `lora_A.weight` and `lora_B.weight` behind.
public final class LowRankAdapters {
    public struct Settings: Sendable, Hashable {
        public var rank: Int
        public var alpha: Double
        public var dropout: Double
        /// Scales by `alpha / √rank` instead of `alpha / rank`, so that large ranks learn as fast as small ones
        /// (rsLoRA, Kalajdzievski 2023).
        public var isRankStabilized: Bool

        public init(rank: Int, alpha: Double, dropout: Double = 0, isRankStabilized: Bool = false) {
            self.rank = rank
            self.alpha = alpha
            self.dropout = dropout
            self.isRankStabilized = isRankStabilized
        }

        public func scale(rank: Int) -> Double {
            alpha / (isRankStabilized ? Double(rank).squareRoot() : Double(rank))
        }
    }

    public static let downSuffix = "lora_A.weight"
    public static let upSuffix = "lora_B.weight"

    public let settings: Settings
    public let store: ParameterStore
    /// The adapted matrices, in the order of the model.
    public let targets: [Parameter]

    /// Attaches an adapter to each of `targets`.
    ///
    /// - Parameters:
    ///   - store: where the adapters' parameters come from: at random for new ones, or a file's.
    ///   - ranks: the rank of a layer by the name of its matrix; that of the settings where nil.
    public init(
        attachingTo targets: [Parameter], _ settings: Settings, store: ParameterStore,
        ranks: (String) -> Int? = { _ in nil }
    ) throws {
        self.settings = settings
        self.store = store
        self.targets = targets
        for target in targets {
            precondition(target.isLinear && target.adapter == nil, "\(target.name) takes no adapter")
            let scope = store.root[Self.layer(of: target.name)], rank = ranks(target.name) ?? settings.rank
            let (output, input) = (target.shape[0], target.shape[1])
            target.adapter = LowRankAdapter(
                // As PEFT starts them: Kaiming's uniform numbers with a slope of √5.
                down: try scope["lora_A"].parameter(
                    "weight", [rank, input], .uniform(1 / Double(input).squareRoot())),
                up: try scope["lora_B"].parameter("weight", [output, rank], .zeros),
                scale: settings.scale(rank: rank), dropout: settings.dropout)
        }
    }

    /// The layer that a matrix belongs to: its name without `.weight`.
    public static func layer(of matrix: String) -> String {
        matrix.hasSuffix(".weight") ? String(matrix.dropLast(".weight".count)) : matrix
    }

    /// Takes the adapters away again; the matrices stay as they were.
    public func detach() { for target in targets { target.adapter = nil } }

    /// The adapted matrices with their adapters in them, by name, computed in float32 from `base` (the matrix itself
    /// where nil); `[out, in]`, float32.
    public func merged(_ base: (String) -> Tensor? = { _ in nil }) throws -> [(name: String, tensor: Tensor)] {
        try withoutGradient {
            try targets.compactMap { target in
                guard let adapter = target.adapter else { return nil }
                let weight = try (base(target.name) ?? target.tensor).to(.float32)
                return (target.name, try weight + adapter.delta())
            }
        }
    }
}

/// Where dropout's random numbers come from in this pass. Without one nothing is dropped: answering never is random.
public enum DropoutRandom {
    @TaskLocal public static var generator: RandomGenerator?
}

extension Tensor {
    /// Zeros in the place of a `part` of the elements, the others scaled up to keep the mean.
    func droppingOut(_ part: Double) throws -> Tensor {
        guard part > 0, let generator = DropoutRandom.generator else { return self }
        // Drawn on the generator's device, so that a seed means the same choice everywhere.
        let kept = try generator.uniform(shape).ge(part).to(device).to(dtype)
        return try self * kept * (1 / (1 - part))
    }
}
