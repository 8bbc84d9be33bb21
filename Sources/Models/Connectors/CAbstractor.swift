public import NN
public import Torch

/// Honeybee's C-Abstractor (Cha et al. 2024): residual convolutions, adaptive average pooling to the wanted grid, more
/// convolutions, and a readout of linear layers with SiLU between them.
public final class CAbstractor {
    public struct Configuration: Sendable, Hashable {
        /// Width of the tower's features.
        public var inputSize: Int
        public var hiddenSize: Int
        public var outputSize: Int
        /// Convolution blocks before and behind the pooling; with 0 the features are pooled and read out.
        public var depth: Int
        /// Linear layers of the readout.
        public var readoutDepth: Int
        /// Tokens that come out: a square number.
        public var queries: Int
        /// Patches a side for which positions are learned; nil without positions.
        public var positionSide: Int?
        /// Learned tokens behind the pooled ones.
        public var endTokens: Int
        public var hasInputNorm: Bool
        public var initializerRange: Double

        public init(
            inputSize: Int, hiddenSize: Int = 1024, outputSize: Int, depth: Int = 3, readoutDepth: Int = 2,
            queries: Int = 144, positionSide: Int?, endTokens: Int = 0, hasInputNorm: Bool = false,
            initializerRange: Double = 0.02
        ) {
            self.inputSize = inputSize
            self.hiddenSize = hiddenSize
            self.outputSize = outputSize
            self.depth = depth
            self.readoutDepth = readoutDepth
            self.queries = queries
            self.positionSide = positionSide
            self.endTokens = endTokens
            self.hasInputNorm = hasInputNorm
            self.initializerRange = initializerRange
        }

        /// Reads Honeybee's projector configuration.
        public init(_ reader: ConfigurationReader) throws {
            try reader.require("projector_type", .string("c-abs"))
            let queries = try reader.integer("num_query_tokens", in: 1...(1 << 16))
            guard isSquare(queries) else {
                throw reader.failure("num_query_tokens", "is \(queries), which is not a square number")
            }
            let hasPositions = try reader.flag("pos_emb", default: true)
            let patches = try reader.integer("num_input_tokens", default: hasPositions ? nil : 1, in: 1...(1 << 24))
            guard !hasPositions || isSquare(patches) else {
                throw reader.failure("num_input_tokens", "is \(patches), which is not a square number")
            }
            self.init(
                inputSize: try reader.integer("encoder_hidden_size", in: 1...(1 << 20)),
                hiddenSize: try reader.integer("hidden_size", default: 1024, in: 1...(1 << 20)),
                outputSize: try reader.integer("output_hidden_size", in: 1...(1 << 20)),
                depth: try reader.integer("depth", default: 3, in: 0...64),
                readoutDepth: try reader.integer("mlp_depth", default: 2, in: 1...64), queries: queries,
                positionSide: hasPositions ? squareRoot(patches) : nil,
                endTokens: try reader.integer("num_eos_tokens", default: 0, in: 0...4096),
                hasInputNorm: try reader.flag("prenorm", default: false),
                initializerRange: try reader.number("initializer_range", default: 0.02))
            try reader.finish(harmless: ConfigurationReader.bookkeeping.union(["feature_layer_index"]))
        }
    }

    public let configuration: Configuration
    private let positions: Parameter?
    private let inputNorm: LayerNorm?
    private let before: [ConvolutionBlock]
    private let after: [ConvolutionBlock]
    private let readout: [Linear]
    private let endTokens: Parameter?

    /// Takes Honeybee's names from the scope: `pos_emb`, `net.0.b1…`, `net.2.b1…`, `readout.0…`.
    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        let inner = configuration.hiddenSize, input = configuration.inputSize
        let start = Initialization.normal(configuration.initializerRange)
        positions = try configuration.positionSide.map {
            try scope.parameter("pos_emb", [1, $0 * $0, input], start)
        }
        endTokens =
            configuration.endTokens > 0
            ? try scope.parameter("eos_tokens", [1, configuration.endTokens, configuration.outputSize], start) : nil
        inputNorm = configuration.hasInputNorm ? try LayerNorm(input, epsilon: 1e-5, scope["prenorm"]) : nil
        let depth = configuration.depth
        before = try (0..<depth).map {
            try ConvolutionBlock($0 == 0 ? input : inner, inner, scope["net.0"]["b\($0 + 1)"])
        }
        after = try (0..<depth).map { try ConvolutionBlock(inner, inner, scope["net.2"]["b\($0 + 1)"]) }
        // Without convolutions the features keep their width up to the readout.
        readout = try (0..<configuration.readoutDepth).map { index in
            let width = index > 0 ? configuration.outputSize : depth > 0 ? inner : input
            return try Linear(width, configuration.outputSize, bias: true, scope["readout"][2 * index])
        }
    }

    /// `[pictures, rows × columns, input size]` give `[pictures, queries + end tokens, output size]`. Positions are
    /// resized where the grid is not the one that they were learned for.
    public func callAsFunction(_ x: Tensor, height: Int, width: Int) throws -> Tensor {
        let pictures = x.size(0)
        precondition(x.size(1) == height * width, "as many tokens as the grid has places")
        var hidden = try inputNorm?(x) ?? x
        if let positions, let side = configuration.positionSide {
            let table = try positions.tensor.view([side * side, configuration.inputSize])
            hidden = try hidden + table.resizedGrid(side: side, height: height, width: width)
        }
        hidden = try hidden.transpose(1, 2).reshape([pictures, configuration.inputSize, height, width])
        for block in before { hidden = try block(hidden) }
        let side = squareRoot(configuration.queries)
        hidden = try hidden.adaptiveAveragePool2d(height: side, width: side)
        for block in after { hidden = try block(hidden) }
        hidden = try hidden.reshape([pictures, hidden.size(1), side * side]).transpose(1, 2)
        for (index, layer) in readout.enumerated() { hidden = try layer(index == 0 ? hidden : hidden.silu()) }
        guard let endTokens else { return hidden }
        let ends = try endTokens.tensor.expand([pictures, configuration.endTokens, configuration.outputSize])
        return try Tensor.cat([hidden, ends], dimension: 1)
    }
}

/// timm's RegNet bottleneck as the C-Abstractor uses it: 1×1, depthwise 3×3, squeeze and excitation, 1×1, each with a
/// layer norm over the channels.
private final class ConvolutionBlock {
    private final class Convolution {
        private let weight: Parameter
        private let norm: LayerNorm
        private let size: Int

        init(_ input: Int, _ output: Int, kernel: Int, isDepthwise: Bool = false, _ scope: ParameterScope) throws {
            let perGroup = isDepthwise ? 1 : input
            size = kernel
            let deviation = (2 / Double(perGroup * kernel * kernel)).squareRoot()
            weight = try scope["conv"].parameter("weight", [output, perGroup, kernel, kernel], .normal(deviation))
            norm = try LayerNorm(output, epsilon: 1e-6, scope["bn"])
        }

        /// `[pictures, channels, height, width]`.
        func callAsFunction(_ x: Tensor) throws -> Tensor {
            let groups = weight.tensor.size(1) == x.size(1) || size == 1 ? 1 : x.size(1)
            let convolved = try x.conv2d(weight.tensor, padding: (size / 2, size / 2), groups: groups)
            return try norm(convolved.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        }
    }

    private let reduce: Convolution
    private let spatial: Convolution
    private let expand: Convolution
    private let shortcut: Convolution?
    private let squeeze: Linear
    private let excite: Linear

    init(_ input: Int, _ output: Int, _ scope: ParameterScope) throws {
        reduce = try Convolution(input, output, kernel: 1, scope["conv1"])
        spatial = try Convolution(output, output, kernel: 3, isDepthwise: true, scope["conv2"])
        // A quarter of the block's input channels, half to even as Python rounds.
        let narrow = Int((Double(input) * 0.25).rounded(.toNearestOrEven))
        func pointwise(_ input: Int, _ output: Int, _ scope: ParameterScope) throws -> Linear {
            Linear(
                weight: try scope.parameter("weight", [output, input, 1, 1], .normal(0.02)),
                bias: try scope.parameter("bias", [output], .zeros))
        }
        squeeze = try pointwise(output, narrow, scope["se"]["fc1"])
        excite = try pointwise(narrow, output, scope["se"]["fc2"])
        expand = try Convolution(output, output, kernel: 1, scope["conv3"])
        shortcut = input == output ? nil : try Convolution(input, output, kernel: 1, scope["downsample"])
    }

    /// `[pictures, channels, height, width]`.
    func callAsFunction(_ x: Tensor) throws -> Tensor {
        var hidden = try spatial(reduce(x).silu()).silu()
        let mean = try hidden.mean([2, 3])  // [pictures, channels]
        func apply(_ layer: Linear, _ x: Tensor) throws -> Tensor {
            try x.linear(
                layer.weight.tensor.reshape([layer.weight.shape[0], layer.weight.shape[1]]), layer.bias?.tensor)
        }
        let gate = try apply(excite, apply(squeeze, mean).silu()).sigmoid()
        hidden = try expand(hidden * gate.unsqueeze(2).unsqueeze(3))
        return try (hidden + (shortcut?(x) ?? x)).silu()
    }
}

/// Whether a number has a whole root.
func isSquare(_ number: Int) -> Bool { squareRoot(number) * squareRoot(number) == number }

/// The root, cut to a whole number.
func squareRoot(_ number: Int) -> Int {
    var root = Int(Double(number).squareRoot())
    while root * root > number { root -= 1 }
    while (root + 1) * (root + 1) <= number { root += 1 }
    return root
}
