internal import CTorch

extension Tensor {
    /// Root-mean-square norm over the last dimension times `weight`, as one node of the graph. Statistics are float32;
    /// the normed values are rounded to this tensor's type before the weight, as the references do.
    public func rmsNorm(_ weight: Tensor, epsilon: Double) throws -> Tensor {
        try produce("rms_norm", [self, weight]) { ct_rms_norm(handle, weight.handle, epsilon, $0) }
    }

    /// `silu(self) · up`, as one node of the graph.
    public func gatedSilu(_ up: Tensor) throws -> Tensor {
        try produce("gated_silu", [self, up]) { ct_gated_silu(handle, up.handle, $0) }
    }

    /// `x · sigmoid(1.702 x)`, as one node of the graph.
    public func quickGelu() throws -> Tensor { try produce("quick_gelu", [self]) { ct_quick_gelu(handle, $0) } }

    /// `self + delta` and its RMS norm; one pass where no gradient is recorded on the CPU.
    public func addingRMSNorm(_ delta: Tensor, _ weight: Tensor, epsilon: Double) throws -> (sum: Tensor, norm: Tensor)
    {
        try pair("add_rms_norm") { ct_add_rms_norm(handle, delta.handle, weight.handle, epsilon, $0, $1) }
    }

    /// `self + delta` and its layer norm over the last dimension; one pass where no gradient is recorded on the CPU.
    public func addingLayerNorm(
        _ delta: Tensor, _ weight: Tensor?, _ bias: Tensor?, epsilon: Double
    ) throws -> (sum: Tensor, norm: Tensor) {
        try pair("add_layer_norm") {
            ct_add_layer_norm(handle, delta.handle, weight?.handle, bias?.handle, epsilon, $0, $1)
        }
    }

    /// `silu(self · gateᵀ) · (self · upᵀ)`: for few rows one pass over both weights.
    public func gatedLinear(_ gate: Tensor, _ up: Tensor) throws -> Tensor {
        try produce("gated_linear", [self, gate, up]) { ct_gated_linear(handle, gate.handle, up.handle, $0) }
    }

    /// Rotates each head of `[tokens, heads, head size]`: element `i` of a head pairs with element `i + size / 2`
    /// (Su et al. 2021, in the half-rotation layout). Tables are `[tokens, head size / 2]`; computed in float32.
    public func rotated(cosine: Tensor, sine: Tensor) throws -> Tensor {
        try produce("rotate", [self, cosine, sine]) { ct_rotated(handle, cosine.handle, sine.handle, $0) }
    }

    /// The longest segment that `rotaryAttention` takes: it keeps all scores of a segment for the backward pass.
    public static let rotaryAttentionLimit = 1024

    /// Rotation by `cosine` and `sine` (`[tokens, head size / 2]`, float32) and attention within segments, as one node of
    /// the graph, for bf16 on the CPU. `query` is `[tokens, heads, head size]`; the result `[tokens, heads · head size]`.
    public static func rotaryAttention(
        _ query: Tensor, _ key: Tensor, _ value: Tensor, cosine: Tensor, sine: Tensor, segments: Segments, causal: Bool,
        scale: Double
    ) throws -> Tensor {
        try produce("rotary_attention", [query, key, value]) { error in
            withSizes(segments.offsets) { offsets, count in
                ct_rotary_attention(
                    query.handle, key.handle, value.handle, cosine.handle, sine.handle, offsets, count - 1, causal,
                    scale,
                    error)
            }
        }
    }

    /// The same for queries, keys and values in one tensor `[tokens, 3, heads, head size]`.
    public static func rotaryAttention(
        fused: Tensor, cosine: Tensor, sine: Tensor, segments: Segments, causal: Bool, scale: Double
    ) throws -> Tensor {
        try produce("rotary_attention", [fused]) { error in
            withSizes(segments.offsets) { offsets, count in
                ct_rotary_attention_fused(
                    fused.handle, cosine.handle, sine.handle, offsets, count - 1, causal, scale, error)
            }
        }
    }
}
