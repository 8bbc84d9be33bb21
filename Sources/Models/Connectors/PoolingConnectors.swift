public import NN
public import Torch

// The connectors that MM1 compares, as values of the design's axis. All take squares of patches.

extension CAbstractor: Connector {
    public func callAsFunction(_ features: Tensor) throws -> Tensor {
        let side = try features.gridSide()
        return try self(features, height: side, width: side).reshape([-1, configuration.outputSize])
    }
}

extension CAbstractor.Configuration: ConnectorConfiguration {
    public func makeConnector(_ scope: ParameterScope) throws -> any Connector { try CAbstractor(self, scope) }

    public var summary: String {
        "C-Abstractor of \(depth) blocks of width \(hiddenSize) on either side of the pooling, \(queries) tokens"
    }
}

extension AveragePool: Connector {
    public struct Configuration: ConnectorConfiguration, Hashable {
        /// Tokens a side that come out.
        public var side: Int
        public var inputSize: Int
        public var outputSize: Int

        public init(side: Int, inputSize: Int, outputSize: Int) {
            self.side = side
            self.inputSize = inputSize
            self.outputSize = outputSize
        }

        public func makeConnector(_ scope: ParameterScope) throws -> any Connector {
            try AveragePool(side: side, inputSize: inputSize, outputSize: outputSize, scope)
        }

        public var summary: String { "average pooling to \(side * side) tokens and two layers" }
    }

    public func callAsFunction(_ features: Tensor) throws -> Tensor {
        let side = try features.gridSide(), out = try self(features, height: side, width: side)
        return try out.reshape([-1, out.size(2)])
    }
}

extension AttentionPool: Connector {
    public struct Configuration: ConnectorConfiguration, Hashable {
        public var queries: Int
        public var inputSize: Int
        public var outputSize: Int
        public var heads: Int

        public init(queries: Int, inputSize: Int, outputSize: Int, heads: Int) {
            self.queries = queries
            self.inputSize = inputSize
            self.outputSize = outputSize
            self.heads = heads
        }

        public func makeConnector(_ scope: ParameterScope) throws -> any Connector {
            try AttentionPool(
                inputSize: inputSize, outputSize: outputSize, heads: heads, queries: queries, scope)
        }

        public var summary: String { "\(queries) queries of \(outputSize) that attend to the patches" }
    }

    public func callAsFunction(_ features: Tensor) throws -> Tensor {
        try self(
            features.reshape([-1, features.size(2)]),
            Segments(lengths: [Int](repeating: features.size(1), count: features.size(0))))
    }
}

extension Tensor {
    /// The side of the squares of patches that `[tiles, patches, width]` hold.
    fileprivate func gridSide() throws -> Int {
        guard rank == 3, isSquare(size(1)) else {
            throw ProcessingError.unsupported("features of shape \(shape) are no squares of patches")
        }
        return squareRoot(size(1))
    }
}
