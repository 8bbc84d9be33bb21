public import NN
internal import Torch

extension VisionTransformerConfiguration {
    /// A norm of this tower over `size` elements.
    func makeNorm(_ scope: ParameterScope, size: Int? = nil) throws -> any Normalization {
        let size = size ?? hiddenSize
        switch norm {
        case .layer:
            return LayerNorm(
                weight: try scope.parameter(keys.normWeight, [size], .ones),
                bias: try scope.parameter(keys.normBias, [size], .zeros), epsilon: normEpsilon)
        case .rms: return try RMSNorm(size, epsilon: normEpsilon, scope)
        case .scaleOnlyLayer:
            return LayerNorm(
                weight: try scope.parameter(keys.normWeight, [size], .ones),
                bias: try scope.constant(keys.normBias, [size], .zeros), epsilon: normEpsilon)
        }
    }
}

/// A pre-norm block: attention, then feed-forward, each scaled where the tower has factors, and added to its input.
public final class VisionTransformerBlock {
    private let attentionNorm: any Normalization
    private let attention: VisionAttention
    private let attentionScale: Parameter?
    private let feedForwardNorm: any Normalization
    private let feedForward: PlainFeedForward
    private let feedForwardScale: Parameter?
    private let index: Int
    private let depth: Int
    private let parameters: [Parameter]
    /// Whether its values come together only while it is at work, see `SpreadParameters`.
    var isSpread: Bool { parameters.first?.spread != nil }

    init(_ configuration: VisionTransformerConfiguration, layer: Int, _ scope: ParameterScope) throws {
        let keys = configuration.keys, size = configuration.hiddenSize
        index = layer
        depth = configuration.layers
        attentionNorm = try configuration.makeNorm(scope[keys.attentionNorm])
        attention = try VisionAttention(configuration, scope)
        feedForwardNorm = try configuration.makeNorm(scope[keys.feedForwardNorm])
        feedForward = PlainFeedForward(
            up: try Linear(size, configuration.feedForwardSize, bias: true, scope[keys.up]),
            down: try Linear(configuration.feedForwardSize, size, bias: true, scope[keys.down]),
            activation: configuration.activation)
        attentionScale = try configuration.layerScale.map {
            try scope.parameter(keys.attentionScale, [size], .constant($0))
        }
        feedForwardScale = try configuration.layerScale.map {
            try scope.parameter(keys.feedForwardScale, [size], .constant($0))
        }
        parameters = scope.block()
        scope.store.addDivisible(self)
    }

    /// The same as a plain call, keeping nothing but `x` for the backward pass.
    func recomputed(_ x: Tensor, _ layout: VisionLayout, _ context: ForwardContext) throws -> Tensor {
        try NN.recomputed([x], parameters) { [try self($0[0], layout, context)] }[0]
    }

    /// `[tokens, hidden]` gives the same shape.
    func callAsFunction(_ x: Tensor, _ layout: VisionLayout, _ context: ForwardContext) throws -> Tensor {
        var attended = try attention(attentionNorm(x), layout)
        try context.observe("vision.layer\(index).attn", attended)
        if let attentionScale { attended = try attended * attentionScale.tensor }
        let share = DropPath.share(context.dropPath.tower, block: index, of: depth)
        attended = try attended.droppingPath(share, of: layout.segments)
        let (middle, normed) = try feedForwardNorm.adding(attended, to: x)
        var forward = try feedForward(normed)
        if let feedForwardScale { forward = try forward * feedForwardScale.tensor }
        return try middle + forward.droppingPath(share, of: layout.segments)
    }
}

extension VisionTransformerBlock: DivisibleBlock {
    public func obstacle(tensor parts: Int) -> String? {
        if let problem = attention.obstacle(to: parts) { return "tower layer \(index) \(problem)" }
        return feedForward.innerSize.isMultiple(of: parts)
            ? nil
            : "tower layer \(index) has a feed-forward part of \(feedForward.innerSize), not a multiple of \(parts)"
    }

    public func divide(tensor: TensorDivision?, experts: ExpertDivision?) throws {
        guard let tensor else { return }
        attention.divide(tensor)
        feedForward.divide(tensor)
    }

    public func unite() {
        attention.divide(nil)
        feedForward.divide(nil)
    }
}
