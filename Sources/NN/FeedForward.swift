public import Torch

/// The part of a block that treats each token by itself.
public protocol FeedForward {
    /// `[…, hidden]` gives the same shape.
    func callAsFunction(_ x: Tensor) throws -> Tensor
}

/// One whose inner width several ranks can divide among themselves.
public protocol DivisibleFeedForward: FeedForward {
    /// Elements between its layers.
    var innerSize: Int { get }
    /// Computes a part of them from now on and adds up over ranks, see `DivisibleBlock`; all of them where nil.
    func divide(_ division: TensorDivision?)
}

/// Two layers with an activation between them.
public final class PlainFeedForward: DivisibleFeedForward {
    public let up: Linear
    public let down: Linear
    public let activation: Activation
    private var group: ProcessGroup?

    public init(up: Linear, down: Linear, activation: Activation) {
        self.up = up
        self.down = down
        self.activation = activation
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try down(activation(up(group?.entering(x) ?? x)), summedOver: group)
    }

    public var innerSize: Int { up.weight.shape[0] }

    public func divide(_ division: TensorDivision?) {
        group = division?.group
        guard let division else { return [up, down].forEach { $0.unite() } }
        up.divideOutput(over: division)
        down.divideInput(over: division)
    }
}

/// `down(activation(gate(x)) · up(x))` (Shazeer 2020).
public final class GatedFeedForward: DivisibleFeedForward {
    public let gate: Linear
    public let up: Linear
    public let down: Linear
    public let activation: Activation
    private var group: ProcessGroup?

    public init(gate: Linear, up: Linear, down: Linear, activation: Activation) {
        self.gate = gate
        self.up = up
        self.down = down
        self.activation = activation
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        let x = try group?.entering(x) ?? x
        if activation == .silu {
            guard gate.isPlain, up.isPlain else { return try down(gate(x).gatedSilu(up(x)), summedOver: group) }
            return try down(x.gatedLinear(gate.weight.tensor, up.weight.tensor), summedOver: group)
        }
        return try down(activation(gate(x)) * up(x), summedOver: group)
    }

    public var innerSize: Int { up.weight.shape[0] }

    public func divide(_ division: TensorDivision?) {
        group = division?.group
        guard let division else { return [gate, up, down].forEach { $0.unite() } }
        for layer in [gate, up] { layer.divideOutput(over: division) }
        down.divideInput(over: division)
    }
}

/// The same with gate and up in one matrix, one behind the other.
public final class StackedGatedFeedForward: DivisibleFeedForward {
    public let gateAndUp: Linear
    public let down: Linear
    public let activation: Activation
    private let isGateFirst: Bool
    private var group: ProcessGroup?

    /// - Parameter gateAndUp: without a bias.
    public init(_ gateAndUp: Linear, isGateFirst: Bool, down: Linear, activation: Activation) {
        self.gateAndUp = gateAndUp
        self.isGateFirst = isGateFirst
        self.down = down
        self.activation = activation
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        let x = try group?.entering(x) ?? x
        guard gateAndUp.isPlain else {
            let halves = try gateAndUp(x).chunk(2, dimension: -1)
            let gate = halves[isGateFirst ? 0 : 1], up = halves[isGateFirst ? 1 : 0]
            return try down(activation == .silu ? gate.gatedSilu(up) : activation(gate) * up, summedOver: group)
        }
        let halves = try gateAndUp.weight.tensor.chunk(2, dimension: 0)
        let gate = halves[isGateFirst ? 0 : 1], up = halves[isGateFirst ? 1 : 0]
        if activation == .silu { return try down(x.gatedLinear(gate, up), summedOver: group) }
        return try down(activation(x.linear(gate)) * x.linear(up), summedOver: group)
    }

    public var innerSize: Int { gateAndUp.weight.shape[0] / 2 }

    public func divide(_ division: TensorDivision?) {
        group = division?.group
        guard let division else { return [gateAndUp, down].forEach { $0.unite() } }
        gateAndUp.divideOutput(stacks: [innerSize, innerSize], over: division)
        down.divideInput(over: division)
    }
}
