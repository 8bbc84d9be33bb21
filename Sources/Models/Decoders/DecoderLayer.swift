public import NN
public import Torch

/// What all layers of one forward pass share.
public struct DecoderPass {
    public let rotary: RotaryTable
    /// A factor of each token's queries, `[tokens, 1, 1]`; nil for none.
    public let queryScale: Tensor?
    public let segments: Segments
    /// What gated cross-attention sees; nil where there is nothing.
    public let memory: CrossAttentionPass?
    public let context: ForwardContext

    /// The same with other columns.
    fileprivate func seeing(_ columns: Tensor) -> DecoderPass {
        DecoderPass(
            rotary: rotary, queryScale: queryScale, segments: segments, memory: memory?.seeing(columns),
            context: context)
    }
}

extension DecoderConfiguration {
    /// The feed-forward part of a layer: dense, or a mixture of experts.
    func makeFeedForward(layer: Int, _ scope: ParameterScope) throws -> any FeedForward {
        let start = Initialization.normal(initializerRange)
        if let experts, hasExperts(layer) {
            return try MixtureOfExperts(
                experts, hiddenSize: hiddenSize, feedForwardSize: feedForwardSize, activation: activation,
                scope[naming.mixture], initialization: start)
        }
        let scope = scope[naming.feedForward]
        func matrix(_ input: Int, _ output: Int, _ name: String) throws -> Linear {
            try Linear(input, output, bias: false, scope[name], initialization: start)
        }
        switch naming.feedForwardProjections {
        case .separate(let gate, let up, let down):
            return GatedFeedForward(
                gate: try matrix(hiddenSize, feedForwardSize, gate), up: try matrix(hiddenSize, feedForwardSize, up),
                down: try matrix(feedForwardSize, hiddenSize, down), activation: activation)
        case .stackedGateFirst(let name, let down), .stackedGateLast(let name, let down):
            var isFirst = false
            if case .stackedGateFirst = naming.feedForwardProjections { isFirst = true }
            return StackedGatedFeedForward(
                try matrix(hiddenSize, 2 * feedForwardSize, name), isGateFirst: isFirst,
                down: try matrix(feedForwardSize, hiddenSize, down), activation: activation)
        }
    }
}

/// A pre-norm block: attention, gated cross-attention where the layer has it, feed-forward, each added to its input.
public final class DecoderLayer {
    public let inputNorm: any Normalization
    public let attention: SelfAttention
    public let crossAttention: GatedCrossAttention?
    public let feedForwardNorm: any Normalization
    public let feedForward: any FeedForward
    private let index: Int
    private let depth: Int
    private let parameters: [Parameter]
    /// Whether its values come together only while it is at work, see `SpreadParameters`.
    var isSpread: Bool { parameters.first?.spread != nil }

    public init(_ configuration: DecoderConfiguration, layer: Int, _ scope: ParameterScope) throws {
        index = layer
        depth = configuration.layers
        let hidden = configuration.hiddenSize, naming = configuration.naming
        inputNorm = try RMSNorm(hidden, epsilon: configuration.normEpsilon, scope[naming.inputNorm])
        attention = try SelfAttention(configuration, layer: layer, scope[naming.attention])
        crossAttention =
            configuration.hasCrossAttention(layer)
            ? try GatedCrossAttention(configuration, layer: layer, scope[naming.crossAttention]) : nil
        feedForwardNorm = try RMSNorm(hidden, epsilon: configuration.normEpsilon, scope[naming.feedForwardNorm])
        feedForward = try configuration.makeFeedForward(layer: layer, scope)
        parameters = scope.block()
        scope.store.addDivisible(self)
    }

    /// The same as a plain call, keeping nothing but `x` for the backward pass, and how experts dealt tokens out.
    func recomputed(_ x: Tensor, _ pass: DecoderPass) throws -> Tensor {
        let columns = crossAttention == nil ? nil : pass.memory?.columns, mixture = feedForward as? MixtureOfExperts
        var noted: Routing?
        // All that gradients flow to: columns are every gated layer's, and anchors lead to other ranks.
        let inputs = [x] + [columns].compactMap(\.self) + anchors
        let outputs = try NN.recomputed(inputs, parameters) { [self] inputs in
            let seen = columns == nil ? pass : pass.seeing(inputs[1])
            let (output, routing) = try mixture.anchored(to: inputs.suffix(anchors.count)) {
                try computed(inputs[0], seen)
            }
            if noted == nil { noted = try routing?.detached() }
            return [output] + (routing.map { [$0.logits] } ?? [])
        }
        if let noted, outputs.count > 1 { pass.context.routings?.append(noted.following(outputs[1])) }
        return outputs[0]
    }

    public func callAsFunction(_ x: Tensor, _ pass: DecoderPass) throws -> Tensor {
        let (output, routing) = try computed(x, pass)
        if let routing { pass.context.routings?.append(routing) }
        return output
    }

    /// The output, and where somebody asks, how experts dealt tokens out.
    private func computed(_ x: Tensor, _ pass: DecoderPass) throws -> (output: Tensor, routing: Routing?) {
        let attended = try attention(inputNorm(x), pass)
        try pass.context.observe("text.layer\(index).self_attn", attended)
        let (middle, normed) = try mixed(x, dropping(attended, pass), pass)
        let (forward, routing) = try feedForward(normed, pass.context)
        try pass.context.observe("text.layer\(index).mlp", forward)
        return (try middle + dropping(forward, pass), routing)
    }

    /// A branch, left out for some sequences.
    private func dropping(_ branch: Tensor, _ pass: DecoderPass) throws -> Tensor {
        try branch.droppingPath(
            DropPath.share(pass.context.dropPath.decoder, block: index, of: depth), of: pass.segments)
    }

    private func feedForward(_ x: Tensor, _ context: ForwardContext) throws -> (output: Tensor, routing: Routing?) {
        guard context.routings != nil, let mixture = feedForward as? MixtureOfExperts else {
            return (try feedForward(x), nil)
        }
        return try mixture.routed(x)
    }

    /// What the feed-forward part is added to, and its norm.
    private func mixed(_ x: Tensor, _ attended: Tensor, _ pass: DecoderPass) throws -> (sum: Tensor, norm: Tensor) {
        guard let crossAttention, let memory = pass.memory else { return try feedForwardNorm.adding(attended, to: x) }
        let middle = try x + attended
        let seen = try crossAttention(middle, memory, pass.context)
        try pass.context.observe("cross_attn.layer\(index)", seen)
        return try feedForwardNorm.adding(dropping(seen, pass), to: middle)
    }
}

extension DecoderLayer: DivisibleBlock {
    public func obstacle(tensor parts: Int) -> String? {
        let inner = ((feedForward as? MixtureOfExperts)?.experts.first ?? feedForward) as? any DivisibleFeedForward
        if let problem = attention.obstacle(to: parts) ?? crossAttention?.obstacle(to: parts) {
            return "decoder layer \(index) \(problem)"
        }
        guard let inner, inner.innerSize.isMultiple(of: parts) else {
            return
                "decoder layer \(index) has a feed-forward part of \(inner?.innerSize ?? 0), not a multiple of \(parts)"
        }
        return nil
    }

    public func obstacle(experts parts: Int) -> String? {
        guard let mixture = feedForward as? MixtureOfExperts, !mixture.experts.count.isMultiple(of: parts) else {
            return nil
        }
        return "decoder layer \(index) has \(mixture.experts.count) experts, not a multiple of \(parts)"
    }

    public func divide(tensor: TensorDivision?, experts: ExpertDivision?) throws {
        if let tensor {
            attention.divide(tensor)
            crossAttention?.divide(tensor)
        }
        if let mixture = feedForward as? MixtureOfExperts {
            try mixture.divide(tensor: tensor, experts: experts)
        } else if let tensor {
            (feedForward as? any DivisibleFeedForward)?.divide(tensor)
        }
    }

    public func unite() {
        attention.divide(nil)
        crossAttention?.divide(nil)
        (feedForward as? MixtureOfExperts)?.unite()
        (feedForward as? any DivisibleFeedForward)?.divide(nil)
    }

    public var anchors: [Tensor] { (feedForward as? MixtureOfExperts)?.anchors ?? [] }
}
