internal import CTorch

extension Tensor {
    public func matmul(_ other: Tensor) throws -> Tensor {
        try produce("matmul", [self, other]) { ct_matmul(handle, other.handle, $0) }
    }

    /// `self · weightᵀ + bias`: `[…, in]` with a weight of `[out, in]` gives `[…, out]`.
    public func linear(_ weight: Tensor, _ bias: Tensor? = nil) throws -> Tensor {
        try produce("linear", [self, weight] + (bias.map { [$0] } ?? [])) {
            ct_linear(handle, weight.handle, bias?.handle, $0)
        }
    }

    /// Rows of `self` (`[vocabulary, hidden]`) by id.
    public func embedding(_ ids: Tensor) throws -> Tensor {
        try produce("embedding", [self, ids]) { ct_embedding(handle, ids.handle, $0) }
    }

    /// Layer norm over the last dimension, with biased variance.
    public func layerNorm(_ weight: Tensor?, _ bias: Tensor?, epsilon: Double) throws -> Tensor {
        let size = Int64(size(-1))
        return try produce("layer_norm", [self]) {
            ct_layer_norm(handle, weight?.handle, bias?.handle, size, epsilon, $0)
        }
    }

    /// Scaled dot-product attention of `[…, heads, tokens, headSize]`.
    ///
    /// - Parameters:
    ///   - mask: boolean (true attends) or added to the scores.
    ///   - causal: lower triangular from the top left, so only right for as many queries as keys.
    ///   - grouped: fewer key-value heads than query heads, each serving a run of neighbours.
    public static func scaledDotProductAttention(
        _ query: Tensor, _ key: Tensor, _ value: Tensor, mask: Tensor? = nil, causal: Bool = false, scale: Double,
        grouped: Bool = false, dropout: Double = 0
    ) throws -> Tensor {
        try produce("scaled_dot_product_attention", [query, key, value] + (mask.map { [$0] } ?? [])) {
            ct_scaled_dot_product_attention(
                query.handle, key.handle, value.handle, mask?.handle, dropout, causal, scale, grouped, $0)
        }
    }

    /// `[batch, in, height, width]` with a weight of `[out, in / groups, kernelHeight, kernelWidth]`.
    public func conv2d(
        _ weight: Tensor, _ bias: Tensor? = nil, stride: (Int, Int) = (1, 1), padding: (Int, Int) = (0, 0),
        groups: Int = 1
    ) throws -> Tensor {
        try produce("conv2d", [self, weight]) { error in
            withSizes([stride.0, stride.1]) { strides, _ in
                withSizes([padding.0, padding.1]) { paddings, _ in
                    ct_conv2d(handle, weight.handle, bias?.handle, strides, paddings, Int64(groups), error)
                }
            }
        }
    }

    public func adaptiveAveragePool2d(height: Int, width: Int) throws -> Tensor {
        try produce("adaptive_avg_pool2d", [self]) {
            ct_adaptive_average_pool2d(handle, Int64(height), Int64(width), $0)
        }
    }

    /// Bicubic interpolation of `[batch, channels, height, width]`, half-pixel centres. Without `antialias` the kernel's
    /// a is -0.75 and shrinking does not widen it; with it a is -0.5, as Pillow's.
    public func bicubicResize(height: Int, width: Int, antialias: Bool = false) throws -> Tensor {
        try produce("upsample_bicubic2d", [self]) {
            ct_bicubic_resize2d(handle, Int64(height), Int64(width), antialias, $0)
        }
    }

    public enum LossReduction: Int32, Sendable {
        case none = 0
        case mean = 1
        case sum = 2
    }

    /// Negative log likelihood of `targets` (`[n]`) under `self` (`[n, classes]`); targets equal to `ignore` count
    /// nothing.
    public func crossEntropy(_ targets: Tensor, reduction: LossReduction, ignore: Int = -100) throws -> Tensor {
        try produce("cross_entropy", [self, targets]) {
            ct_cross_entropy(handle, targets.handle, reduction.rawValue, Int64(ignore), $0)
        }
    }

    public func dropout(_ probability: Double, training: Bool) throws -> Tensor {
        if probability == 0 || !training { return self }
        return try produce("dropout", [self]) { ct_dropout(handle, probability, training, $0) }
    }
}

/// The numbers of AdamW (Loshchilov and Hutter 2019), with weight decay `rate × weightDecay` as PyTorch has it.
public struct AdamWOptions: Sendable, Hashable {
    public var rate: Double
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    public var weightDecay: Double

    public init(
        rate: Double, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0.01
    ) {
        self.rate = rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
    }
}

/// One AdamW step in place; `steps` are scalars that count each parameter's steps.
public func adamW(
    parameters: [Tensor], gradients: [Tensor], firstMoments: [Tensor], secondMoments: [Tensor], steps: [Tensor],
    options: AdamWOptions
) throws {
    let count = parameters.count
    precondition([gradients.count, firstMoments.count, secondMoments.count, steps.count].allSatisfy { $0 == count })
    try run("adamw", []) { error in
        withHandles(parameters) { p, number in
            withHandles(gradients) { g, _ in
                withHandles(firstMoments) { m, _ in
                    withHandles(secondMoments) { v, _ in
                        withHandles(steps) { s, _ in
                            ct_adamw(
                                p, g, m, v, s, number, options.rate, options.beta1, options.beta2, options.weightDecay,
                                options.epsilon, error)
                        }
                    }
                }
            }
        }
    }
}
