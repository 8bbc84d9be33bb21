internal import Foundation
public import Torch

/// What is learned beside a frozen matrix: `x · downᵀ · upᵀ · scale` joins `x · weightᵀ` (LoRA, Hu et al. 2021).
public final class LowRankAdapter {
    /// `[rank, in]`; PEFT calls it `lora_A`.
    public let down: Parameter
    /// `[out, rank]`, zeros at first, so that a new adapter changes nothing; PEFT calls it `lora_B`.
    public let up: Parameter
    /// The length of each row of the adapted matrix, `[out]`, where lengths are learned apart from directions (DoRA, Liu
    /// et al. 2024); PEFT calls it `lora_magnitude_vector`.
    public let magnitude: Parameter?
    public let scale: Double
    /// The part of the input's elements that training leaves out on the way into `down`.
    public let dropout: Double
    /// The ranks that divided the matrix's output or its input, and with it one of the two matrices; see `divide`.
    private var divided: (output: ProcessGroup?, input: ProcessGroup?) = (nil, nil)

    init(down: Parameter, up: Parameter, magnitude: Parameter? = nil, scale: Double, dropout: Double) {
        self.down = down
        self.up = up
        self.magnitude = magnitude
        self.scale = scale
        self.dropout = dropout
    }

    public var rank: Int { down.shape[0] }
    public var parameters: [Parameter] { [down, up] + (magnitude.map { [$0] } ?? []) }

    /// `[…, in]` gives `[…, out]`, or this rank's part of either.
    func callAsFunction(_ x: Tensor) throws -> Tensor {
        try product(of: dropped(x)) * scale
    }

    private func product(of x: Tensor) throws -> Tensor {
        // The matrix that every rank has whole gets a part of its gradient on each: from its part of the output, or of
        // the input.
        let down = try divided.output?.entering(down.tensor) ?? down.tensor
        let up = try divided.input?.entering(up.tensor) ?? up.tensor
        return try x.linear(down).linear(up)
    }

    private func dropped(_ x: Tensor) throws -> Tensor {
        let part = divided.input == nil ? nil : down.partition
        return try x.droppingOut(dropout, columns: part.map { ($0.ranges[$0.group.rank], $0.shape[1]) })
    }

    /// Follows the matrix, of which each rank has a part of the rows from now on.
    ///
    /// - Parameter stacks: see `Partition`.
    func divideOutput(stacks: [Int]?, over division: TensorDivision) {
        up.partition = Partition(of: up, 0, stacks: stacks, over: division)
        if let magnitude { magnitude.partition = Partition(of: magnitude, 0, stacks: stacks, over: division) }
        divided = (division.group, nil)
    }

    /// The same for columns.
    func divideInput(over division: TensorDivision) {
        down.partition = Partition(of: down, 1, over: division)
        divided = (nil, division.group)
    }

    /// Knows nothing of other ranks any more.
    func unite() {
        for parameter in parameters { parameter.partition = nil }
        divided = (nil, nil)
    }

    /// What joins `plain = x · weightᵀ` where lengths are learned: with it each row of the matrix has the direction of
    /// `weight + up · down · scale` and the length of `magnitude` (DoRA, equation 5). `[…, in]` gives `[…, out]`, or this
    /// rank's part of either.
    ///
    /// The rows' own lengths are constants to the backward pass (section 4.3), and dropout before the adapter reaches the
    /// matrix, too: both as PEFT does it.
    func turning(_ plain: Tensor, _ x: Tensor, _ weight: Parameter, _ magnitude: Parameter) throws -> Tensor {
        let lengths = try withoutGradient { try sum(weight.value()).rowLengths(over: divided.input) }
        let learned = try divided.input?.entering(magnitude.tensor) ?? magnitude.tensor
        let factor = try learned.to(.float32) / lengths
        let dropped = try dropped(x)
        let base = try dropped === x ? plain : weight.product(dropped)
        let low = try product(of: dropped)
        return try base * (factor - 1).to(x.dtype) + low * factor.to(x.dtype) * scale
    }

    /// The matrix that computes what `weight` and the adapter do together: `[out, in]`, float32.
    public func merged(into weight: Tensor) throws -> Tensor {
        let sum = try sum(weight)
        guard let magnitude else { return sum }
        return try sum * (magnitude.tensor.to(.float32) / sum.rowLengths()).unsqueeze(1)
    }

    private func sum(_ weight: Tensor) throws -> Tensor {
        try weight.to(.float32) + up.tensor.to(.float32).matmul(down.tensor.to(.float32)) * scale
    }
}

extension Tensor {
    /// The norm of each row of `[rows, columns]`, of which each rank of the group has some columns.
    fileprivate func rowLengths(over group: ProcessGroup? = nil) throws -> Tensor {
        let squares = try square().sum([1])
        try group?.allReduce(squares, for: "adding up lengths of rows")
        return try squares.sqrt()
    }
}

/// The adapters of a model: built over a parameter store of their own, whose names are those of the adapted layers with
/// `lora_A.weight`, `lora_B.weight` and, for DoRA, `lora_magnitude_vector` behind.
public final class LowRankAdapters {
    public struct Settings: Sendable, Hashable {
        public var rank: Int
        public var alpha: Double
        public var dropout: Double
        /// Scales by `alpha / √rank` instead of `alpha / rank`, so that large ranks learn as fast as small ones
        /// (rsLoRA, Kalajdzievski 2023).
        public var isRankStabilized: Bool
        /// Whether lengths of rows are learned apart from directions (DoRA, Liu et al. 2024).
        public var isWeightDecomposed: Bool

        public init(
            rank: Int, alpha: Double, dropout: Double = 0, isRankStabilized: Bool = false,
            isWeightDecomposed: Bool = false
        ) {
            self.rank = rank
            self.alpha = alpha
            self.dropout = dropout
            self.isRankStabilized = isRankStabilized
            self.isWeightDecomposed = isWeightDecomposed
        }

        public func scale(rank: Int) -> Double {
            alpha / (isRankStabilized ? Double(rank).squareRoot() : Double(rank))
        }
    }

    public static let downSuffix = "lora_A.weight"
    public static let upSuffix = "lora_B.weight"
    /// Without `.weight` behind it, as PEFT writes it.
    public static let magnitudeName = "lora_magnitude_vector"

    public let settings: Settings
    public let store: ParameterStore
    /// The adapted matrices, in the order of the model.
    public let targets: [Parameter]

    /// Attaches an adapter to each of `targets`.
    ///
    /// - Parameters:
    ///   - store: where the adapters' parameters come from: at random for new ones, or a file's.
    ///   - ranks: the rank of a layer by the name of its matrix; that of the settings where nil.
    ///   - weight: the value of a matrix, where it is not what passes will compute with yet; new lengths are those of its
    ///     rows.
    public init(
        attachingTo targets: [Parameter], _ settings: Settings, store: ParameterStore,
        ranks: (String) -> Int? = { _ in nil }, weight: (Parameter) throws -> Tensor = { try $0.value() }
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
                magnitude: try settings.isWeightDecomposed
                    ? Self.magnitude(scope, output) { try weight(target) } : nil,
                scale: settings.scale(rank: rank), dropout: settings.dropout)
        }
    }

    /// A layer's lengths: from the store's checkpoint, or those of the rows of `weight`.
    private static func magnitude(_ scope: ParameterScope, _ rows: Int, of weight: () throws -> Tensor) throws
        -> Parameter
    {
        let lengths = try scope.parameter(magnitudeName, [rows], .ones)
        if case .random = scope.store.origin {
            lengths.tensor = try withoutGradient { try weight().to(.float32).rowLengths().to(lengths.tensor.dtype) }
        }
        return lengths
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
                return (target.name, try adapter.merged(into: base(target.name) ?? target.value()))
            }
        }
    }
}
