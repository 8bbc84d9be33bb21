public import NN
public import Torch

/// AIM (El-Nouby et al. 2024): a causal vision transformer that predicts each patch's pixels from the patches before it.
/// Its tower, without the head, is one of MM1's encoders.
public final class AutoregressiveImageModel {
    public let tower: VisionTransformer
    private let input: Linear
    private let blocks: [(norm: LayerNorm, layers: PlainFeedForward)]
    private let norm: LayerNorm
    private let output: Linear

    /// Takes `trunk.*` and `head.*` from the scope.
    ///
    /// - Parameters:
    ///   - headSize: width of the head that predicts pixels (2048 in the published models).
    ///   - headDepth: its blocks (12 in the published models).
    public init(
        _ configuration: VisionTransformerConfiguration, headSize: Int = 2048, headDepth: Int = 12,
        _ scope: ParameterScope
    ) throws {
        tower = try VisionTransformer(configuration, scope["trunk"])
        let head = scope["head"]
        input = try Linear(configuration.hiddenSize, headSize, bias: true, head["input"])
        blocks = try (0..<headDepth).map { index in
            let block = head["blocks"][index]
            return (
                try LayerNorm(headSize, epsilon: configuration.normEpsilon, block["norm"]),
                PlainFeedForward(
                    up: try Linear(headSize, headSize, bias: true, block["fc1"]),
                    down: try Linear(headSize, headSize, bias: true, block["fc2"]),
                    activation: configuration.activation)
            )
        }
        norm = try LayerNorm(headSize, epsilon: configuration.normEpsilon, head["norm"])
        output = try Linear(headSize, configuration.patchLength, bias: true, head["output"])
    }

    /// Numbers of AIM's towers: no class token, fixed positions, no norm before the first block.
    public static func tower(hiddenSize: Int, layers: Int, heads: Int, feedForwardSize: Int, patchSize: Int = 14)
        -> VisionTransformerConfiguration
    {
        VisionTransformerConfiguration(
            hiddenSize: hiddenSize, layers: layers, heads: heads, feedForwardSize: feedForwardSize,
            patchSize: patchSize, positions: .sinusoidal, keys: .transformers,
            patchEmbedding: .convolution(bias: true), normEpsilon: 1e-5, finalNorm: .allTokens)
    }

    /// What each token says about the patch behind it, `[patches of all pictures, patch length]`.
    ///
    /// - Parameter prefixes: patches at the start of each picture that see each other in both directions.
    public func predictions(_ batch: PatchBatch, prefixes: [Int]) throws -> Tensor {
        let tokens = try tower(batch, prefixes: prefixes)
        var hidden = try input(tower.normalized(tokens))
        for block in blocks { hidden = try hidden + block.layers(block.norm(hidden)) }
        return try output(norm(hidden))
    }
}
