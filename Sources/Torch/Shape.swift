internal import CTorch

extension Tensor {
    /// The same elements in another shape (one size may be -1); copies only where strides demand it.
    public func reshape(_ shape: [Int]) throws -> Tensor {
        try produce("reshape", [self]) { error in withSizes(shape) { ct_reshape(handle, $0, $1, error) } }
    }
    public func reshape(_ shape: Int...) throws -> Tensor { try reshape(shape) }

    /// The same memory in another shape; fails where strides forbid it.
    public func view(_ shape: [Int]) throws -> Tensor {
        try produce("view", [self]) { error in withSizes(shape) { ct_view(handle, $0, $1, error) } }
    }
    public func permute(_ dimensions: Int...) throws -> Tensor {
        try produce("permute", [self]) { error in withSizes(dimensions) { ct_permute(handle, $0, $1, error) } }
    }
    /// Repeats dimensions of size 1 without memory; -1 keeps a size.
    public func expand(_ shape: [Int]) throws -> Tensor {
        try produce("expand", [self]) { error in withSizes(shape) { ct_expand(handle, $0, $1, error) } }
    }
    public func transpose(_ first: Int, _ second: Int) throws -> Tensor {
        try produce("transpose", [self]) { ct_transpose(handle, Int64(first), Int64(second), $0) }
    }
    public func squeeze(_ dimension: Int) throws -> Tensor {
        try produce("squeeze", [self]) { ct_squeeze(handle, Int64(dimension), $0) }
    }
    public func unsqueeze(_ dimension: Int) throws -> Tensor {
        try produce("unsqueeze", [self]) { ct_unsqueeze(handle, Int64(dimension), $0) }
    }
    /// A view of `range` along `dimension`.
    public func slice(_ dimension: Int, _ range: Range<Int>, step: Int = 1) throws -> Tensor {
        try produce("slice", [self]) {
            ct_slice(handle, Int64(dimension), Int64(range.lowerBound), Int64(range.upperBound), Int64(step), $0)
        }
    }
    /// A view without `dimension`, at `index` of it.
    public func select(_ dimension: Int, _ index: Int) throws -> Tensor {
        try produce("select", [self]) { ct_select(handle, Int64(dimension), Int64(index), $0) }
    }
    /// Views of the given sizes along `dimension`, which they must fill.
    public func split(_ sizes: [Int], dimension: Int) throws -> [Tensor] {
        var results = [OpaquePointer?](repeating: nil, count: sizes.count)
        try run("split", [self]) { error in
            withSizes(sizes) { ct_split(handle, $0, $1, Int64(dimension), &results, error) }
        }
        return results.compactMap { $0.map { Tensor(owning: $0) } }
    }
    /// `count` equal parts along `dimension`.
    public func chunk(_ count: Int, dimension: Int) throws -> [Tensor] {
        try split([Int](repeating: size(dimension) / count, count: count), dimension: dimension)
    }

    public static func cat(_ tensors: [Tensor], dimension: Int = 0) throws -> Tensor {
        try produce("cat", tensors) { error in withHandles(tensors) { ct_cat($0, $1, Int64(dimension), error) } }
    }
    public static func stack(_ tensors: [Tensor], dimension: Int = 0) throws -> Tensor {
        try produce("stack", tensors) { error in withHandles(tensors) { ct_stack($0, $1, Int64(dimension), error) } }
    }

    /// Rows of `dimension` named by `index` (`[n]`, integers).
    public func indexSelect(_ dimension: Int, _ index: Tensor) throws -> Tensor {
        try produce("index_select", [self, index]) { ct_index_select(handle, Int64(dimension), index.handle, $0) }
    }
    public func gather(_ dimension: Int, _ index: Tensor) throws -> Tensor {
        try produce("gather", [self, index]) { ct_gather(handle, Int64(dimension), index.handle, $0) }
    }
    /// A copy in which the rows named by `index` are those of `source`.
    public func indexCopy(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
        try produce("index_copy", [self, index, source]) {
            ct_index_copy(handle, Int64(dimension), index.handle, source.handle, $0)
        }
    }
    /// A copy in which the rows of `source` are added to those named by `index`.
    public func indexAdd(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
        try produce("index_add", [self, index, source]) {
            ct_index_add(handle, Int64(dimension), index.handle, source.handle, $0)
        }
    }
    public func scatter(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws -> Tensor {
        try produce("scatter", [self, index, source]) {
            ct_scatter(handle, Int64(dimension), index.handle, source.handle, $0)
        }
    }
    /// Overwrites the rows named by `index`.
    public func indexCopyInPlace(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws {
        try run("index_copy_", [self, index, source]) {
            ct_index_copy_(handle, Int64(dimension), index.handle, source.handle, $0)
        }
    }
    public func indexAddInPlace(_ dimension: Int, _ index: Tensor, _ source: Tensor) throws {
        try run("index_add_", [self, index, source]) {
            ct_index_add_(handle, Int64(dimension), index.handle, source.handle, $0)
        }
    }
    /// Positions of the non-zero elements: `[n, rank]`.
    public func nonZero() throws -> Tensor { try produce("nonzero", [self]) { ct_nonzero(handle, $0) } }

    /// Each element of `dimension` repeated in place: `a a b b`.
    public func repeatInterleave(_ repeats: Int, dimension: Int) throws -> Tensor {
        try produce("repeat_interleave", [self]) { ct_repeat_interleave(handle, Int64(repeats), Int64(dimension), $0) }
    }
    /// The whole repeated along each dimension.
    public func tile(_ repeats: Int...) throws -> Tensor {
        try produce("repeat", [self]) { error in withSizes(repeats) { ct_repeat(handle, $0, $1, error) } }
    }
    public func flip(_ dimensions: Int...) throws -> Tensor {
        try produce("flip", [self]) { error in withSizes(dimensions) { ct_flip(handle, $0, $1, error) } }
    }
    public func tril(_ diagonal: Int = 0) throws -> Tensor {
        try produce("tril", [self]) { ct_tril(handle, Int64(diagonal), $0) }
    }
    public func triu(_ diagonal: Int = 0) throws -> Tensor {
        try produce("triu", [self]) { ct_triu(handle, Int64(diagonal), $0) }
    }
    /// Pads with `value`; `pads` gives (before, after) pairs from the last dimension on.
    public func pad(_ pads: [Int], value: Double = 0) throws -> Tensor {
        try produce("pad", [self]) { error in withSizes(pads) { ct_pad(handle, $0, $1, value, error) } }
    }
    public func oneHot(_ classes: Int) throws -> Tensor {
        try produce("one_hot", [self]) { ct_one_hot(handle, Int64(classes), $0) }
    }
}
