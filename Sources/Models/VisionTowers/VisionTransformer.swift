public import NN
public import Torch

/// A vision transformer over pictures of any sizes, each of which attends to itself only (Dosovitskiy et al. 2021).
public final class VisionTransformer {
    public let configuration: VisionTransformerConfiguration
    private let patchLayer: Linear
    private let patchNorms: [any Normalization]
    private let classToken: Parameter?
    private let positions: VisionPositions
    private let embeddingNorm: (any Normalization)?
    private let blocks: [VisionTransformerBlock]
    private let finalNorm: (any Normalization)?

    /// Takes the parameters that `configuration.keys` names from the scope.
    public init(_ configuration: VisionTransformerConfiguration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        let keys = configuration.keys, size = configuration.hiddenSize, patch = configuration.patchSize
        classToken =
            configuration.hasClassToken
            ? try scope.parameter(
                keys.classToken, [Int](repeating: 1, count: keys.classTokenPrefix) + [size], .normal(0.02)) : nil
        switch configuration.patchEmbedding {
        case .convolution(let bias):
            let patches = scope[keys.patches]
            patchLayer = Linear(
                weight: try patches.parameter(
                    "weight", [size, configuration.channels, patch, patch], .normal(0.02)),
                bias: bias ? try patches.parameter("bias", [size], .zeros) : nil)
            patchNorms = []
        case .normalized:
            patchLayer = try Linear(configuration.patchLength, size, bias: true, scope[keys.patches])
            patchNorms = try zip(keys.patchNorms, [configuration.patchLength, size]).map {
                try configuration.makeNorm(scope[$0], size: $1)
            }
        }
        positions = try VisionPositions(configuration, scope)
        embeddingNorm = configuration.hasEmbeddingNorm ? try configuration.makeNorm(scope[keys.embeddingNorm]) : nil
        blocks = try (0..<configuration.layers).map {
            try VisionTransformerBlock(configuration, layer: $0, scope[keys.layers][$0])
        }
        finalNorm = configuration.finalNorm == .none ? nil : try configuration.makeNorm(scope[keys.finalNorm])
    }

    /// Runs the blocks.
    ///
    /// - Parameters:
    ///   - featureLayer: whose output is wanted, in the numbering of transformers' `hidden_states`: 0 is the embeddings,
    ///     -1 the last block, -2 the one before it. Blocks behind it are not run.
    ///   - prefixes: for a causal tower, see `VisionLayout`.
    /// - Returns: features before the final norm.
    public func callAsFunction(
        _ batch: PatchBatch, featureLayer: Int = -1, prefixes: [Int]? = nil,
        _ context: ForwardContext = ForwardContext()
    ) throws -> VisionTokens {
        let run = featureLayer < 0 ? configuration.layers + 1 + featureLayer : featureLayer
        guard 0...configuration.layers ~= run else {
            throw ProcessingError.unsupported(
                "a tower of \(configuration.layers) layers has no features of layer \(featureLayer)")
        }
        var tokens = try embed(batch, context)
        let layout = VisionLayout(segments: tokens.segments, prefixes: prefixes)
        for (index, block) in blocks.prefix(run).enumerated() {
            tokens.features =
                try context.recomputed.contains(.visionTower) || block.isSpread
                ? block.recomputed(tokens.features, layout, context) : block(tokens.features, layout, context)
            try context.observe("vision.layer\(index)", tokens.features)
        }
        try context.observe("vision.last_layer", tokens.features)
        return tokens
    }

    /// What the final norm makes of the last block's output: all tokens, or the class tokens alone
    /// (`[pictures, hidden]`). The features themselves where there is no such norm.
    public func normalized(_ tokens: VisionTokens) throws -> Tensor {
        guard let finalNorm else { return tokens.features }
        if configuration.finalNorm == .classToken, let pooled = try tokens.classTokens() {
            return try finalNorm(pooled)
        }
        return try finalNorm(tokens.features)
    }

    private func embed(_ batch: PatchBatch, _ context: ForwardContext) throws -> VisionTokens {
        let weight = patchLayer.weight.tensor, size = configuration.hiddenSize
        guard batch.patches.rank == 2, batch.patches.size(1) == configuration.patchLength else {
            throw ProcessingError.unsupported(
                "the tower takes patches of \(configuration.channels)×\(configuration.patchSize)×"
                    + "\(configuration.patchSize) elements, not of \(batch.patches.shape.last ?? 0)")
        }
        var patches = try batch.patches.to(weight.device).to(weight.dtype)
        if let first = patchNorms.first { patches = try first(patches) }
        // A convolution whose kernel is its stride is a linear layer on flattened patches.
        patches =
            patchLayer.weight.isLinear
            ? try patchLayer(patches) : try patches.linear(weight.reshape([size, -1]), patchLayer.bias?.tensor)
        if patchNorms.count > 1 { patches = try patchNorms[1](patches) }
        try context.observe("vision.patch_embed", patches)
        patches = try patches + positions(batch).to(patches.dtype).to(patches.device)

        var features = patches, lengths = batch.counts
        if let classToken {
            var token = try classToken.tensor.view([1, size])
            if let place = try positions.classToken() { token = try token + place }
            // Class tokens and patches in one, then in order: picture after picture, the class token first.
            let pictures = lengths.count
            var order: [Int] = [], next = pictures
            for (picture, count) in lengths.enumerated() {
                order.append(picture)
                order += next..<next + count
                next += count
            }
            features = try Tensor.cat([token.expand([pictures, size]), patches])
                .indexSelect(0, Tensor(order).to(patches.device))
            lengths = lengths.map { $0 + 1 }
        }
        if let embeddingNorm { features = try embeddingNorm(features) }
        try context.observe("vision.embeddings", features)
        return VisionTokens(
            features: features, grids: batch.grids, segments: Segments(lengths: lengths),
            hasClassToken: classToken != nil)
    }
}
