internal import CTorch

extension Tensor {
    /// The sum over `dimensions`, or over all of them.
    public func sum(_ dimensions: [Int] = [], keepDimensions: Bool = false) throws -> Tensor {
        try produce("sum", [self]) { error in withSizes(dimensions) { ct_sum(handle, $0, $1, keepDimensions, error) } }
    }
    /// The mean over `dimensions`, or over all of them.
    public func mean(_ dimensions: [Int] = [], keepDimensions: Bool = false) throws -> Tensor {
        try produce("mean", [self]) { error in withSizes(dimensions) { ct_mean(handle, $0, $1, keepDimensions, error) }
        }
    }
    /// The largest element over `dimensions`, or over all of them.
    public func amax(_ dimensions: [Int] = [], keepDimensions: Bool = false) throws -> Tensor {
        try produce("amax", [self]) { error in withSizes(dimensions) { ct_amax(handle, $0, $1, keepDimensions, error) }
        }
    }
    /// The smallest element over `dimensions`, or over all of them.
    public func amin(_ dimensions: [Int] = [], keepDimensions: Bool = false) throws -> Tensor {
        try produce("amin", [self]) { error in withSizes(dimensions) { ct_amin(handle, $0, $1, keepDimensions, error) }
        }
    }
    public func logSumExp(_ dimensions: [Int], keepDimensions: Bool = false) throws -> Tensor {
        try produce("logsumexp", [self]) { error in
            withSizes(dimensions) { ct_logsumexp(handle, $0, $1, keepDimensions, error) }
        }
    }
    /// The position of the largest element; the first of equals is not promised.
    public func argmax(_ dimension: Int, keepDimensions: Bool = false) throws -> Tensor {
        try produce("argmax", [self]) { ct_argmax(handle, Int64(dimension), keepDimensions, $0) }
    }
    /// The square root of the sum of squares of all elements.
    public func norm() throws -> Tensor { try produce("norm", [self]) { ct_norm(handle, $0) } }
    public func all() throws -> Bool { try produce("all", [self]) { ct_all(handle, $0) }.item() != 0 }
    public func any() throws -> Bool { try produce("any", [self]) { ct_any(handle, $0) }.item() != 0 }
    public func cumulativeSum(_ dimension: Int) throws -> Tensor {
        try produce("cumsum", [self]) { ct_cumsum(handle, Int64(dimension), $0) }
    }
    /// Softmax, computed and given in `dtype` if one is named.
    public func softmax(_ dimension: Int, dtype: DType? = nil) throws -> Tensor {
        try produce("softmax", [self]) { ct_softmax(handle, Int64(dimension), dtype?.rawValue ?? -1, $0) }
    }
    public func logSoftmax(_ dimension: Int, dtype: DType? = nil) throws -> Tensor {
        try produce("log_softmax", [self]) { ct_log_softmax(handle, Int64(dimension), dtype?.rawValue ?? -1, $0) }
    }

    /// The `k` largest (or smallest) elements along a dimension, and where they are.
    public func topK(_ k: Int, dimension: Int = -1, largest: Bool = true, sorted: Bool = true) throws
        -> (values: Tensor, indices: Tensor)
    {
        try pair("topk") { ct_topk(handle, Int64(k), Int64(dimension), largest, sorted, $0, $1) }
    }

    public func sorted(_ dimension: Int = -1, descending: Bool = false, stable: Bool = true) throws
        -> (values: Tensor, indices: Tensor)
    {
        try pair("sort") { ct_sort(handle, Int64(dimension), descending, stable, $0, $1) }
    }

    /// Whether shape, type and all elements are the same.
    public func isEqual(to other: Tensor) throws -> Bool {
        if shape != other.shape || dtype != other.dtype { return false }
        var error = ct_error()
        let result = ct_equal(handle, other.handle, &error)
        if error.code != 0 { throw TorchError("equal", [self, other], &error) }
        return result
    }

    /// Runs an operation that gives two tensors.
    func pair(
        _ operation: StaticString,
        _ body: (UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<ct_error>) -> Int32
    ) throws -> (Tensor, Tensor) {
        var results: (OpaquePointer?, OpaquePointer?) = (nil, nil)
        try run(operation, [self]) { error in
            withUnsafeMutableBytes(of: &results) { raw in
                let bound = raw.bindMemory(to: OpaquePointer?.self)
                guard let base = bound.baseAddress else { return Int32(CT_ERROR) }
                return body(base, error)
            }
        }
        guard let first = results.0, let second = results.1 else {
            throw TorchError(kind: .invalid, operation: "\(operation)", message: "no result")
        }
        return (Tensor(owning: first), Tensor(owning: second))
    }
}
