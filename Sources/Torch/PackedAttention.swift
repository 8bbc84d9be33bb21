internal import CTorch

/// Where the sequences of a packed batch begin and end: sequence `i` holds rows `offsets[i]..<offsets[i + 1]`.
public struct Segments: Sendable, Hashable {
    /// Cumulated lengths, from 0 on.
    public private(set) var offsets: [Int]

    public init(lengths: [Int]) {
        offsets = [0]
        offsets.reserveCapacity(lengths.count + 1)
        for length in lengths {
            precondition(length >= 0, "a sequence has no negative length")
            offsets.append((offsets.last ?? 0) + length)
        }
    }

    /// Number of sequences.
    public var count: Int { offsets.count - 1 }
    /// Rows of all sequences together.
    public var total: Int { offsets.last ?? 0 }
    public var lengths: [Int] { zip(offsets.dropFirst(), offsets).map { $0 - $1 } }
    public func range(_ index: Int) -> Range<Int> { offsets[index]..<offsets[index + 1] }
}

extension Tensor {
    /// Softmax attention within segments.
    ///
    /// Tokens of segment `i` of `query` (`[tokens, heads, head size]`) see only tokens of segment `i` of `key` and
    /// `value` (`[tokens, key-value heads, head size]`; each key-value head serves a run of neighbouring heads).
    /// Causal attention is aligned at the ends: the last query of a segment sees all its keys. Never makes a mask over
    /// all tokens, and is differentiable.
    public static func packedAttention(
        _ query: Tensor, _ key: Tensor, _ value: Tensor, queries: Segments, keys: Segments, causal: Bool, scale: Double
    ) throws -> Tensor {
        precondition(queries.count == keys.count, "as many segments of keys as of queries")
        return try produce("attention", [query, key, value]) { error in
            withSizes(queries.offsets) { queryOffsets, count in
                withSizes(keys.offsets) { keyOffsets, _ in
                    ct_packed_attention(
                        query.handle, key.handle, value.handle, queryOffsets, keyOffsets, count - 1, causal, scale,
                        error)
                }
            }
        }
    }
}
