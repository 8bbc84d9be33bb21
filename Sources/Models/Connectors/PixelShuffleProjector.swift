public import NN
public import Torch

/// Neighbouring tokens of a tile put one behind the other, and one or two layers (InternVL2, NVLM, POINTS 1.0).
public final class PixelShuffleProjector: Connector {
    /// Released orders of the merged tokens.
    public enum Version: String, Sendable, Hashable, CaseIterable {
        /// Column by column.
        case v1
        /// Row by row.
        case v2
    }

    public struct Configuration: ConnectorConfiguration, Hashable {
        /// Width of the tower.
        public var inputSize: Int
        public var outputSize: Int
        /// Width between two layers; nil for a single one.
        public var hiddenSize: Int?
        /// Tokens a side that become one.
        public var factor = 2
        public var version = Version.v2
        public var hasBias = true
        /// Whether a layer norm (epsilon 1e-5) stands before the first layer.
        public var hasNorm = true

        public init(inputSize: Int, outputSize: Int, hiddenSize: Int?) {
            self.inputSize = inputSize
            self.outputSize = outputSize
            self.hiddenSize = hiddenSize
        }

        public func makeConnector(_ scope: ParameterScope) throws -> any Connector {
            try PixelShuffleProjector(self, scope)
        }

        public var summary: String {
            (factor > 1 ? "\(factor)×\(factor) tokens to one of \(inputSize * factor * factor), " : "")
                + "\(hiddenSize == nil ? "one layer" : "two layers") to \(outputSize)"
        }
    }

    private let configuration: Configuration
    private let norm: LayerNorm?
    private let first: Linear
    private let second: Linear?

    /// Takes the modules of a sequence by their numbers: norm, layer, activation, layer.
    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        let merged = configuration.inputSize * configuration.factor * configuration.factor
        let start = configuration.hasNorm ? 1 : 0, bias = configuration.hasBias
        norm = configuration.hasNorm ? try LayerNorm(merged, epsilon: 1e-5, scope[0]) : nil
        first = try Linear(merged, configuration.hiddenSize ?? configuration.outputSize, bias: bias, scope[start])
        second = try configuration.hiddenSize.map {
            try Linear($0, configuration.outputSize, bias: bias, scope[start + 2])
        }
    }

    /// `[tiles, side², width]` gives `[tiles · (side / factor)², output]`.
    public func callAsFunction(_ features: Tensor) throws -> Tensor {
        let merged = try features.pixelShuffled(factor: configuration.factor, configuration.version)
        let hidden = try first(norm?(merged) ?? merged)
        return try second.map { try $0(hidden.gelu()) } ?? hidden
    }
}

extension Tensor {
    /// `[tiles, side², width]` gives `[tiles · (side / factor)², factor² · width]`: the vectors of each cell of
    /// `factor` × `factor` tokens one behind the other, row by row (`common.md` 6.1).
    public func pixelShuffled(factor: Int, _ version: PixelShuffleProjector.Version = .v2) throws -> Tensor {
        let tiles = size(0), width = size(2), cells = Int(Double(size(1)).squareRoot()) / factor
        precondition(cells * cells * factor * factor == size(1), "tokens fill no square of whole cells")
        // [tiles, cell row, row in cell, cell column, column in cell, width]
        let split = try reshape([tiles, cells, factor, cells, factor, width])
        let ordered = version == .v2 ? try split.permute(0, 1, 3, 2, 4, 5) : try split.permute(0, 3, 1, 2, 4, 5)
        return try ordered.reshape([tiles * cells * cells, factor * factor * width])
    }
}
