public import NN
public import Torch

/// Norm, concatenation of each merge block's patches, and two layers with GELU between them (Qwen2-VL, POINTS 1.5).
public final class PatchMerger {
    private let norm: LayerNorm
    private let layers: PlainFeedForward
    private let mergedSize: Int

    /// Takes `ln_q.*`, `mlp.0.*` and `mlp.2.*` from the scope.
    public init(hiddenSize: Int, mergeSize: Int, outputSize: Int, _ scope: ParameterScope) throws {
        mergedSize = hiddenSize * mergeSize * mergeSize
        norm = try LayerNorm(hiddenSize, epsilon: 1e-6, scope["ln_q"])
        layers = PlainFeedForward(
            up: try Linear(mergedSize, mergedSize, bias: true, scope["mlp"][0]),
            down: try Linear(mergedSize, outputSize, bias: true, scope["mlp"][2]), activation: .gelu)
    }

    /// `[patches, hidden]`, neighbours of a block one after another, give `[patches / merge², output]`.
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try layers(norm(x).view([-1, mergedSize]))
    }
}
