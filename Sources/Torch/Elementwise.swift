internal import CTorch

extension Tensor {
    public func exp() throws -> Tensor { try produce("exp", [self]) { ct_exp(handle, $0) } }
    public func log() throws -> Tensor { try produce("log", [self]) { ct_log(handle, $0) } }
    public func sqrt() throws -> Tensor { try produce("sqrt", [self]) { ct_sqrt(handle, $0) } }
    public func rsqrt() throws -> Tensor { try produce("rsqrt", [self]) { ct_rsqrt(handle, $0) } }
    public func sin() throws -> Tensor { try produce("sin", [self]) { ct_sin(handle, $0) } }
    public func cos() throws -> Tensor { try produce("cos", [self]) { ct_cos(handle, $0) } }
    public func tanh() throws -> Tensor { try produce("tanh", [self]) { ct_tanh(handle, $0) } }
    public func sigmoid() throws -> Tensor { try produce("sigmoid", [self]) { ct_sigmoid(handle, $0) } }
    public func silu() throws -> Tensor { try produce("silu", [self]) { ct_silu(handle, $0) } }
    public func relu() throws -> Tensor { try produce("relu", [self]) { ct_relu(handle, $0) } }
    public func abs() throws -> Tensor { try produce("abs", [self]) { ct_abs(handle, $0) } }
    public func square() throws -> Tensor { try produce("square", [self]) { ct_square(handle, $0) } }
    public func floor() throws -> Tensor { try produce("floor", [self]) { ct_floor(handle, $0) } }
    /// Rounds half to even.
    public func round() throws -> Tensor { try produce("round", [self]) { ct_round(handle, $0) } }
    public func reciprocal() throws -> Tensor { try produce("reciprocal", [self]) { ct_reciprocal(handle, $0) } }
    public func softplus() throws -> Tensor { try produce("softplus", [self]) { ct_softplus(handle, $0) } }
    public func isFinite() throws -> Tensor { try produce("isfinite", [self]) { ct_isfinite(handle, $0) } }
    public func logicalNot() throws -> Tensor { try produce("logical_not", [self]) { ct_logical_not(handle, $0) } }

    /// GELU by the error function, or by its tanh approximation.
    public func gelu(tanh: Bool = false) throws -> Tensor { try produce("gelu", [self]) { ct_gelu(handle, tanh, $0) } }

    /// Elements outside `range` become its ends.
    public func clamp(_ range: ClosedRange<Double>) throws -> Tensor {
        try produce("clamp", [self]) { ct_clamp(handle, range.lowerBound, range.upperBound, $0) }
    }

    public func pow(_ exponent: Double) throws -> Tensor {
        try produce("pow", [self]) { ct_pow_scalar(handle, exponent, $0) }
    }

    public static prefix func - (a: Tensor) throws -> Tensor { try produce("neg", [a]) { ct_neg(a.handle, $0) } }

    public static func + (a: Tensor, b: Tensor) throws -> Tensor {
        try produce("add", [a, b]) { ct_add(a.handle, b.handle, $0) }
    }
    public static func - (a: Tensor, b: Tensor) throws -> Tensor {
        try produce("sub", [a, b]) { ct_sub(a.handle, b.handle, $0) }
    }
    public static func * (a: Tensor, b: Tensor) throws -> Tensor {
        try produce("mul", [a, b]) { ct_mul(a.handle, b.handle, $0) }
    }
    public static func / (a: Tensor, b: Tensor) throws -> Tensor {
        try produce("div", [a, b]) { ct_div(a.handle, b.handle, $0) }
    }
    public static func + (a: Tensor, b: Double) throws -> Tensor {
        try produce("add", [a]) { ct_add_scalar(a.handle, b, $0) }
    }
    public static func - (a: Tensor, b: Double) throws -> Tensor {
        try produce("sub", [a]) { ct_add_scalar(a.handle, -b, $0) }
    }
    public static func * (a: Tensor, b: Double) throws -> Tensor {
        try produce("mul", [a]) { ct_mul_scalar(a.handle, b, $0) }
    }
    public static func / (a: Tensor, b: Double) throws -> Tensor {
        try produce("div", [a]) { ct_div_scalar(a.handle, b, $0) }
    }

    public func maximum(_ other: Tensor) throws -> Tensor {
        try produce("maximum", [self, other]) { ct_maximum(handle, other.handle, $0) }
    }
    public func minimum(_ other: Tensor) throws -> Tensor {
        try produce("minimum", [self, other]) { ct_minimum(handle, other.handle, $0) }
    }
    public func floorDivide(_ other: Tensor) throws -> Tensor {
        try produce("floor_divide", [self, other]) { ct_floor_divide(handle, other.handle, $0) }
    }
    public func remainder(_ other: Tensor) throws -> Tensor {
        try produce("remainder", [self, other]) { ct_remainder(handle, other.handle, $0) }
    }

    // Comparisons give boolean tensors, so they keep the field's short names rather than operators.
    public func eq(_ other: Tensor) throws -> Tensor {
        try produce("eq", [self, other]) { ct_eq(handle, other.handle, $0) }
    }
    public func ne(_ other: Tensor) throws -> Tensor {
        try produce("ne", [self, other]) { ct_ne(handle, other.handle, $0) }
    }
    public func lt(_ other: Tensor) throws -> Tensor {
        try produce("lt", [self, other]) { ct_lt(handle, other.handle, $0) }
    }
    public func le(_ other: Tensor) throws -> Tensor {
        try produce("le", [self, other]) { ct_le(handle, other.handle, $0) }
    }
    public func gt(_ other: Tensor) throws -> Tensor {
        try produce("gt", [self, other]) { ct_gt(handle, other.handle, $0) }
    }
    public func ge(_ other: Tensor) throws -> Tensor {
        try produce("ge", [self, other]) { ct_ge(handle, other.handle, $0) }
    }
    public func eq(_ value: Double) throws -> Tensor { try produce("eq", [self]) { ct_eq_scalar(handle, value, $0) } }
    public func ne(_ value: Double) throws -> Tensor { try produce("ne", [self]) { ct_ne_scalar(handle, value, $0) } }
    public func lt(_ value: Double) throws -> Tensor { try produce("lt", [self]) { ct_lt_scalar(handle, value, $0) } }
    public func le(_ value: Double) throws -> Tensor { try produce("le", [self]) { ct_le_scalar(handle, value, $0) } }
    public func gt(_ value: Double) throws -> Tensor { try produce("gt", [self]) { ct_gt_scalar(handle, value, $0) } }
    public func ge(_ value: Double) throws -> Tensor { try produce("ge", [self]) { ct_ge_scalar(handle, value, $0) } }
    public func logicalAnd(_ other: Tensor) throws -> Tensor {
        try produce("logical_and", [self, other]) { ct_logical_and(handle, other.handle, $0) }
    }
    public func logicalOr(_ other: Tensor) throws -> Tensor {
        try produce("logical_or", [self, other]) { ct_logical_or(handle, other.handle, $0) }
    }

    /// Elements of `self` where the boolean `condition` holds, of `other` elsewhere.
    public func where_(_ condition: Tensor, otherwise other: Tensor) throws -> Tensor {
        try produce("where", [condition, self, other]) { ct_where(condition.handle, handle, other.handle, $0) }
    }

    /// A copy with `value` where the boolean `mask` holds.
    public func maskedFill(_ mask: Tensor, _ value: Double) throws -> Tensor {
        try produce("masked_fill", [self, mask]) { ct_masked_fill(handle, mask.handle, value, $0) }
    }

    /// Adds `other × scale` in place.
    public func addInPlace(_ other: Tensor, scale: Double = 1) throws {
        // Of another type the engine makes a copy in this one's first, all of it at once.
        let stretch = 1 << 20
        if other.dtype != dtype, count > stretch, shape == other.shape, isContiguous, other.isContiguous {
            let (own, added) = (try view([count]), try other.view([count]))
            for start in stride(from: 0, to: count, by: stretch) {
                let range = start..<min(start + stretch, count)
                try own.slice(0, range).addInPlace(added.slice(0, range), scale: scale)
            }
            return
        }
        try run("add_", [self, other]) { ct_add_(handle, other.handle, scale, $0) }
    }

    /// Multiplies in place.
    public func multiplyInPlace(_ factor: Double) throws { try run("mul_", [self]) { ct_mul_(handle, factor, $0) } }
}
