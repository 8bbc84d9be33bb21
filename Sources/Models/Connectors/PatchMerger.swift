public import NN
public import Torch

/// Norm, concatenation of each merge block's patches, and two layers with GELU between them (Qwen2-VL, POINTS 1.5).
public final class PatchMerger: Connector {
    public struct Configuration: ConnectorConfiguration, Hashable {
        /// Width of the tower.
        public var inputSize: Int
        public var mergeSize: Int
        public var outputSize: Int

        public init(inputSize: Int, mergeSize: Int, outputSize: Int) {
            self.inputSize = inputSize
            self.mergeSize = mergeSize
            self.outputSize = outputSize
        }

        public func makeConnector(_ scope: ParameterScope) throws -> any Connector { try PatchMerger(self, scope) }

        public var summary: String { "\(mergeSize)×\(mergeSize) patches to a token of \(outputSize)" }
    }

    private let norm: LayerNorm
    private let layers: PlainFeedForward
    private let mergedSize: Int

    /// Takes `ln_q.*`, `mlp.0.*` and `mlp.2.*` from the scope.
    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        mergedSize = configuration.inputSize * configuration.mergeSize * configuration.mergeSize
        norm = try LayerNorm(configuration.inputSize, epsilon: 1e-6, scope["ln_q"])
        layers = PlainFeedForward(
            up: try Linear(mergedSize, mergedSize, bias: true, scope["mlp"][0]),
            down: try Linear(mergedSize, configuration.outputSize, bias: true, scope["mlp"][2]), activation: .gelu)
    }

    /// `[patches, hidden]`, neighbours of a block one after another, give `[patches / merge², output]`.
    public func callAsFunction(_ features: Tensor) throws -> Tensor {
        try layers(norm(features).view([-1, mergedSize]))
    }
}
