public import Torch

/// The part of a block that treats each token by itself.
public protocol FeedForward {
    /// `[…, hidden]` gives the same shape.
    func callAsFunction(_ x: Tensor) throws -> Tensor
}

/// Two layers with an activation between them.
public final class PlainFeedForward: FeedForward {
    public let up: Linear
    public let down: Linear
    public let activation: Activation

    public init(up: Linear, down: Linear, activation: Activation) {
        self.up = up
        self.down = down
        self.activation = activation
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor { try down(activation(up(x))) }
}

/// `down(activation(gate(x)) · up(x))` (Shazeer 2020).
public final class GatedFeedForward: FeedForward {
    public let gate: Linear
    public let up: Linear
    public let down: Linear
    public let activation: Activation

    public init(gate: Linear, up: Linear, down: Linear, activation: Activation) {
        self.gate = gate
        self.up = up
        self.down = down
        self.activation = activation
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        if activation == .silu {
            guard gate.isPlain, up.isPlain else { return try down(gate(x).gatedSilu(up(x))) }
            return try down(x.gatedLinear(gate.weight.tensor, up.weight.tensor))
        }
        return try down(activation(gate(x)) * up(x))
    }
}

/// The same with gate and up in one matrix, one behind the other.
public final class StackedGatedFeedForward: FeedForward {
    public let gateAndUp: Linear
    public let down: Linear
    public let activation: Activation
    private let isGateFirst: Bool

    /// - Parameter gateAndUp: without a bias.
    public init(_ gateAndUp: Linear, isGateFirst: Bool, down: Linear, activation: Activation) {
        self.gateAndUp = gateAndUp
        self.isGateFirst = isGateFirst
        self.down = down
        self.activation = activation
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        guard gateAndUp.isPlain else {
            let halves = try gateAndUp(x).chunk(2, dimension: -1)
            let gate = halves[isGateFirst ? 0 : 1], up = halves[isGateFirst ? 1 : 0]
            return try down(activation == .silu ? gate.gatedSilu(up) : activation(gate) * up)
        }
        let halves = try gateAndUp.weight.tensor.chunk(2, dimension: 0)
        let gate = halves[isGateFirst ? 0 : 1], up = halves[isGateFirst ? 1 : 0]
        if activation == .silu { return try down(x.gatedLinear(gate, up)) }
        return try down(activation(x.linear(gate)) * x.linear(up))
    }
}
