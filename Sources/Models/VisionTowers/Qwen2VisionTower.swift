public import NN
public import Torch

/// Qwen2-VL's vision transformer: any resolution, two-dimensional rotary positions, attention within each time step.
public final class Qwen2VisionTower: VisionTower {
    public struct Configuration: VisionTowerConfiguration, Hashable {
        public var hiddenSize: Int
        public var layers: Int
        public var heads: Int
        public var feedForwardSize: Int
        public var patchSize: Int
        public var temporalPatchSize: Int
        public var channels: Int
        public var mergeSize: Int
        public var activation: Activation

        public init(
            hiddenSize: Int = 1280, layers: Int = 32, heads: Int = 16, feedForwardSize: Int = 5120, patchSize: Int = 14,
            temporalPatchSize: Int = 2, channels: Int = 3, mergeSize: Int = 2, activation: Activation = .quickGelu
        ) {
            self.hiddenSize = hiddenSize
            self.layers = layers
            self.heads = heads
            self.feedForwardSize = feedForwardSize
            self.patchSize = patchSize
            self.temporalPatchSize = temporalPatchSize
            self.channels = channels
            self.mergeSize = mergeSize
            self.activation = activation
        }

        public var headSize: Int { hiddenSize / heads }

        public func makeTower(_ scope: ParameterScope) throws -> any VisionTower { try Qwen2VisionTower(self, scope) }

        public var shape: TransformerShape {
            TransformerShape(
                layers: layers, hiddenSize: hiddenSize, queryWidth: hiddenSize, keyWidth: hiddenSize, heads: heads,
                feedForwardSize: feedForwardSize, isGated: false, isRotary: true,
                patchLength: channels * temporalPatchSize * patchSize * patchSize)
        }

        public var summary: String {
            "\(layers) layers of width \(hiddenSize), \(heads) heads, patches of \(patchSize)×\(patchSize)"
        }
    }

    final class Block: DivisibleBlock {
        let attentionNorm: LayerNorm
        let queryKeyValue: Linear
        let projection: Linear
        let feedForwardNorm: LayerNorm
        let feedForward: PlainFeedForward
        /// Those that this process computes.
        private(set) var heads: Int
        let headSize: Int
        private let parameters: [Parameter]
        /// The ranks that divide heads and feed-forward part among themselves.
        private var group: ProcessGroup?
        /// Whether its values come together only while it is at work, see `SpreadParameters`.
        var isSpread: Bool { parameters.first?.spread != nil }

        init(_ configuration: Configuration, _ scope: ParameterScope) throws {
            let size = configuration.hiddenSize
            heads = configuration.heads
            headSize = configuration.headSize
            attentionNorm = try LayerNorm(size, epsilon: 1e-6, scope["norm1"])
            queryKeyValue = try Linear(size, 3 * size, bias: true, scope["attn"]["qkv"])
            projection = try Linear(size, size, bias: true, scope["attn"]["proj"])
            feedForwardNorm = try LayerNorm(size, epsilon: 1e-6, scope["norm2"])
            feedForward = PlainFeedForward(
                up: try Linear(size, configuration.feedForwardSize, bias: true, scope["mlp"]["fc1"]),
                down: try Linear(configuration.feedForwardSize, size, bias: true, scope["mlp"]["fc2"]),
                activation: configuration.activation)
            parameters = scope.block()
            scope.store.addDivisible(self)
        }

        /// The same as a plain call, keeping nothing but `x` for the backward pass.
        func recomputed(_ x: Tensor, _ rotary: RotaryTable, _ segments: Segments, dropping share: Double) throws
            -> Tensor
        {
            try NN.recomputed([x], parameters) { [try self($0[0], rotary, segments, dropping: share)] }[0]
        }

        /// `[patches, hidden]` gives the same shape.
        ///
        /// - Parameter share: of the residual branches of pictures that training leaves out.
        func callAsFunction(_ x: Tensor, _ rotary: RotaryTable, _ segments: Segments, dropping share: Double) throws
            -> Tensor
        {
            let patches = x.size(0)
            // [patches, 3, heads, head size]
            let normed = try attentionNorm(x)
            let fused = try queryKeyValue(group?.entering(normed) ?? normed).view([patches, 3, heads, headSize])
            let scale = 1 / Double(headSize).squareRoot()
            let attended: Tensor
            if rotary.isFused(for: fused, segments) {
                attended = try Tensor.rotaryAttention(
                    fused: fused, cosine: rotary.cosine, sine: rotary.sine, segments: segments, causal: false,
                    scale: scale)
            } else {
                attended = try Tensor.packedAttention(
                    fused.select(1, 0).rotated(by: rotary), fused.select(1, 1).rotated(by: rotary), fused.select(1, 2),
                    queries: segments, keys: segments, causal: false, scale: scale)
            }
            let seen = try projection(attended.reshape([patches, heads * headSize]), summedOver: group)
            let (first, middle) = try feedForwardNorm.adding(seen.droppingPath(share, of: segments), to: x)
            return try first + feedForward(middle).droppingPath(share, of: segments)
        }

        func obstacle(tensor parts: Int) -> String? {
            let inner = feedForward.innerSize
            return heads.isMultiple(of: parts) && inner.isMultiple(of: parts)
                ? nil
                : "a tower layer has \(heads) heads and a feed-forward part of \(inner), not multiples of \(parts)"
        }

        func divide(tensor: TensorDivision?, experts: ExpertDivision?) throws {
            guard let tensor else { return }
            let size = heads * headSize
            queryKeyValue.divideOutput(stacks: [size, size, size], over: tensor)
            projection.divideInput(over: tensor)
            feedForward.divide(tensor)
            group = tensor.group
            heads /= tensor.group.size
        }

        func unite() {
            heads *= group?.size ?? 1
            group = nil
            for layer in [queryKeyValue, projection] { layer.unite() }
            feedForward.divide(nil)
        }
    }

    public let configuration: Configuration
    private let patchWeight: Parameter
    private let blocks: [Block]

    /// Takes `patch_embed.*` and `blocks.*` from the scope.
    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        patchWeight = try scope["patch_embed"]["proj"].parameter(
            "weight",
            [
                configuration.hiddenSize, configuration.channels, configuration.temporalPatchSize,
                configuration.patchSize, configuration.patchSize,
            ], .normal(0.02))
        blocks = try (0..<configuration.layers).map { try Block(configuration, scope["blocks"][$0]) }
    }

    /// `[patches of all items, hidden]`: the last block's output, without a norm.
    public func callAsFunction(_ items: [VisualItem], _ context: ForwardContext) throws -> Tensor {
        let weight = patchWeight.tensor
        let patches = try Tensor.cat(items.map(\.pixels)).to(weight.device).to(weight.dtype)
        // A convolution whose kernel is its stride is a linear layer on flattened patches.
        var hidden = try patches.linear(weight.reshape([configuration.hiddenSize, -1]))
        try context.observe("vision.patch_embed", hidden)
        let grids = try items.map { try $0.patchGrid() }
        let angles = try rotaryAngles(grids)
        try context.observe("vision.rotary_freqs", angles)
        let rotary = try RotaryTable(angles: angles.to(weight.device))
        // Each time step of each item attends to itself only.
        let segments = Segments(
            lengths: grids.flatMap { Array(repeating: $0.height * $0.width, count: $0.time) })
        for (index, block) in blocks.enumerated() {
            let share = DropPath.share(context.dropPath.tower, block: index, of: blocks.count)
            hidden =
                try context.recomputed.contains(.visionTower) || block.isSpread
                ? block.recomputed(hidden, rotary, segments, dropping: share)
                : block(hidden, rotary, segments, dropping: share)
            if index == 0 { try context.observe("vision.block0", hidden) }
        }
        try context.observe("vision.last_block", hidden)
        return hidden
    }

    /// `[patches, head size / 2]`: angles of the row in the first half, of the column in the second, in the order of the
    /// patches (merge block by merge block).
    private func rotaryAngles(_ grids: [PatchGrid]) throws -> Tensor {
        let frequencies = inverseFrequencies(base: 10000, size: configuration.headSize / 2)
        let merge = configuration.mergeSize
        var angles: [Float] = []
        for grid in grids {
            var step: [Float] = []
            step.reserveCapacity(grid.height * grid.width * frequencies.count * 2)
            for blockRow in 0..<grid.height / merge {
                for blockColumn in 0..<grid.width / merge {
                    for inner in 0..<merge * merge {
                        let row = Float(blockRow * merge + inner / merge)
                        let column = Float(blockColumn * merge + inner % merge)
                        for frequency in frequencies { step.append(row * frequency) }
                        for frequency in frequencies { step.append(column * frequency) }
                    }
                }
            }
            for _ in 0..<grid.time { angles += step }
        }
        let width = frequencies.count * 2
        return try Tensor(angles, shape: [angles.count / width, width])
    }
}
