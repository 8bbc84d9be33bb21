public import NN
public import Torch

/// Multi-head attention of one set of tokens to another, picture by picture: the core of every resampler.
public final class CrossAttention {
    /// The names and shapes under which checkpoints hold the projections.
    public enum Layout: Sendable, Hashable {
        /// PyTorch's `MultiheadAttention`: `in_proj_weight` where queries and keys are of one width (`isFused`), else
        /// `q_proj_weight`, `k_proj_weight` and `v_proj_weight`; `in_proj_bias`; `out_proj`.
        case pytorch(isFused: Bool)
        /// `to_q`, `to_kv` and a last layer of this name, without biases (lucidrains, Flamingo).
        case queryAndKeyValue(output: String)
    }

    private let queryWeight: () throws -> (Tensor, Tensor?)
    private let keyWeight: () throws -> (Tensor, Tensor?)
    private let valueWeight: () throws -> (Tensor, Tensor?)
    private let output: Linear
    private let heads: Int
    private let headSize: Int

    /// - Parameters:
    ///   - querySize: width of the queries and of the result.
    ///   - keySize: width of keys and values.
    ///   - headSize: `querySize / heads` unless given.
    public init(
        querySize: Int, keySize: Int, heads: Int, headSize: Int? = nil, layout: Layout, _ scope: ParameterScope
    ) throws {
        let size = headSize ?? querySize / heads, inner = size * heads
        self.heads = heads
        self.headSize = size
        let start = Initialization.normal(0.02)
        switch layout {
        case .pytorch(let isFused):
            let weights =
                isFused
                ? [try scope.parameter("in_proj_weight", [3 * inner, querySize], start)]
                : try zip(["q_proj_weight", "k_proj_weight", "v_proj_weight"], [querySize, keySize, keySize]).map {
                    try scope.parameter($0, [inner, $1], start)
                }
            let bias = try scope.parameter("in_proj_bias", [3 * inner], .zeros)
            func part(_ index: Int) -> () throws -> (Tensor, Tensor?) {
                {
                    let rows = index * inner..<(index + 1) * inner
                    return (
                        weights.count == 1 ? try weights[0].tensor.slice(0, rows) : weights[index].tensor,
                        try bias.tensor.slice(0, rows)
                    )
                }
            }
            (queryWeight, keyWeight, valueWeight) = (part(0), part(1), part(2))
            output = try Linear(inner, querySize, bias: true, scope["out_proj"])
        case .queryAndKeyValue(let name):
            let query = try scope["to_q"].parameter("weight", [inner, querySize], start)
            let both = try scope["to_kv"].parameter("weight", [2 * inner, keySize], start)
            queryWeight = { (query.tensor, nil) }
            keyWeight = { (try both.tensor.slice(0, 0..<inner), nil) }
            valueWeight = { (try both.tensor.slice(0, inner..<2 * inner), nil) }
            output = try Linear(inner, querySize, bias: false, scope[name])
        }
    }

    /// - Parameters:
    ///   - x: `[queries of all pictures, query size]`.
    ///   - keys: `[tokens of all pictures, key size]`, and `values` of the same shape.
    ///   - normalize: what projected queries (0) and keys (1), `[tokens, heads, head size]`, go through.
    ///   - scale: the root of the head size's inverse unless given.
    /// - Returns: `[queries of all pictures, query size]`.
    public func callAsFunction(
        _ x: Tensor, keys: Tensor, values: Tensor, queries: Segments, segments: Segments, scale: Double? = nil,
        normalize: ((Tensor, Int) throws -> Tensor)? = nil
    ) throws -> Tensor {
        func project(_ x: Tensor, _ layer: () throws -> (Tensor, Tensor?)) throws -> Tensor {
            let (weight, bias) = try layer()
            return try x.linear(weight, bias).view([x.size(0), heads, headSize])
        }
        var query = try project(x, queryWeight), key = try project(keys, keyWeight)
        if let normalize { (query, key) = (try normalize(query, 0), try normalize(key, 1)) }
        let attended = try Tensor.packedAttention(
            query, key, project(values, valueWeight), queries: queries, keys: segments, causal: false,
            scale: scale ?? 1 / Double(headSize).squareRoot())
        return try output(attended.reshape([x.size(0), heads * headSize]))
    }
}
