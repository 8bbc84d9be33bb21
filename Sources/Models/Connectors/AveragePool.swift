public import NN
public import Torch

/// Average pooling of the patch grid to a smaller one, then an MLP (MM1, section 3.1).
///
/// Where the grid is no multiple of the target, bins overlap as PyTorch's adaptive pooling has them.
public final class AveragePool {
    private let side: Int
    private let layers: MLPProjector

    /// - Parameter side: tokens a side that come out.
    public init(side: Int, inputSize: Int, outputSize: Int, _ scope: ParameterScope) throws {
        self.side = side
        layers = try MLPProjector(
            sizes: [inputSize, outputSize, outputSize], names: ["fc1", "fc2"], activation: .gelu, scope)
    }

    /// `[pictures, rows × columns, input size]` give `[pictures, side², output size]`.
    public func callAsFunction(_ x: Tensor, height: Int, width: Int) throws -> Tensor {
        try layers(pooled(x, height: height, width: width))
    }

    /// `[pictures, rows × columns, size]` give `[pictures, side², size]`.
    public func pooled(_ x: Tensor, height: Int, width: Int) throws -> Tensor {
        let pictures = x.size(0), size = x.size(2)
        precondition(x.size(1) == height * width, "as many tokens as the grid has places")
        return try x.transpose(1, 2).reshape([pictures, size, height, width])
            .adaptiveAveragePool2d(height: side, width: side).reshape([pictures, size, side * side]).transpose(1, 2)
    }
}

/// Linear layers with an activation between them.
public final class MLPProjector {
    private let layers: [Linear]
    private let activation: Activation

    /// - Parameters:
    ///   - sizes: the widths, input first.
    ///   - names: the layers' scopes, one fewer.
    public init(sizes: [Int], names: [String], bias: Bool = true, activation: Activation, _ scope: ParameterScope)
        throws
    {
        precondition(sizes.count == names.count + 1 && !names.isEmpty, "a layer between each two widths")
        layers = try names.enumerated().map { try Linear(sizes[$0], sizes[$0 + 1], bias: bias, scope[$1]) }
        self.activation = activation
    }

    /// `[…, input]` gives `[…, output]`.
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        try layers.enumerated().reduce(x) { hidden, layer in
            try layer.element(layer.offset == 0 ? hidden : activation(hidden))
        }
    }
}
