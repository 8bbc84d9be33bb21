internal import NN
public import Torch

/// Which tokens of each picture see which.
public struct VisionLayout: Sendable, Hashable {
    /// One segment a picture; tokens never see another picture's.
    public var segments: Segments
    /// For causal towers (AIM): how many tokens at the start of each picture see each other in both directions. Each
    /// later token sees itself and all before it. Nil where every token sees all of its picture.
    public var prefixes: [Int]?

    public init(segments: Segments, prefixes: [Int]? = nil) {
        precondition(prefixes == nil || prefixes?.count == segments.count, "one prefix a picture")
        self.segments = segments
        self.prefixes = prefixes
    }
}

/// Multi-head self-attention of a vision transformer, over pictures packed one after another.
public final class VisionAttention {
    private enum Projections {
        case separate(Linear, Linear, Linear)
        case fused(Linear, isByHead: Bool)
        case queryAndKeyValue(Linear, Linear)
    }

    private let projections: Projections
    private let output: Linear
    private let queryNorm: QueryKeyNormalization?
    private let keyNorm: QueryKeyNormalization?
    /// Those that this process computes.
    private var heads: Int
    private let headSize: Int
    private let scale: Double
    /// The ranks that divide the heads among themselves.
    private var group: ProcessGroup?

    init(_ configuration: VisionTransformerConfiguration, _ scope: ParameterScope) throws {
        let keys = configuration.keys, size = configuration.hiddenSize, inner = configuration.attentionSize
        let bias = configuration.hasAttentionBias
        heads = configuration.heads + configuration.paddingHeads
        headSize = configuration.headSize
        scale = configuration.queryKeyNorm == .unitHeads ? 1 : 1 / Double(configuration.headSize).squareRoot()
        switch keys.projections {
        case .separate(let query, let key, let value):
            projections = .separate(
                try Linear(size, inner, bias: bias, scope[query]), try Linear(size, inner, bias: bias, scope[key]),
                try Linear(size, inner, bias: bias, scope[value]))
        case .fused(let name):
            projections = .fused(try Linear(size, 3 * inner, bias: bias, scope[name]), isByHead: false)
        case .fusedByHead(let name):
            projections = .fused(try Linear(size, 3 * inner, bias: bias, scope[name]), isByHead: true)
        case .fusedParameters(let weight, let biasName):
            projections = .fused(
                Linear(
                    weight: try scope.parameter(weight, [3 * inner, size], .normal(0.02)),
                    bias: bias ? try scope.parameter(biasName, [3 * inner], .zeros) : nil), isByHead: false)
        case .queryAndKeyValue(let query, let keyValue):
            projections = .queryAndKeyValue(
                try Linear(size, inner, bias: bias, scope[query]),
                try Linear(size, 2 * inner, bias: bias, scope[keyValue]))
        }
        queryNorm = try configuration.queryKeyNorm.map {
            try QueryKeyNormalization($0, configuration, scope[keys.queryNorm])
        }
        keyNorm = try configuration.queryKeyNorm.map {
            try QueryKeyNormalization($0, configuration, scope[keys.keyNorm])
        }
        output = try Linear(inner, size, bias: configuration.hasOutputBias, scope[keys.output])
    }

    /// `[tokens, hidden]` gives the same shape.
    public func callAsFunction(_ x: Tensor, _ layout: VisionLayout) throws -> Tensor {
        let x = try group?.entering(x) ?? x
        let tokens = x.size(0), split = [tokens, heads, headSize]
        var query: Tensor, key: Tensor
        let value: Tensor
        switch projections {
        case .separate(let queries, let keys, let values):
            (query, key, value) = (try queries(x).view(split), try keys(x).view(split), try values(x).view(split))
        case .fused(let layer, let isByHead):
            let fused = try layer(x).view(isByHead ? [tokens, heads, 3, headSize] : [tokens, 3, heads, headSize])
            let part = isByHead ? 2 : 1
            (query, key, value) = (try fused.select(part, 0), try fused.select(part, 1), try fused.select(part, 2))
        case .queryAndKeyValue(let queries, let keysAndValues):
            let fused = try keysAndValues(x).view([tokens, 2, heads, headSize])
            (query, key, value) = (try queries(x).view(split), try fused.select(1, 0), try fused.select(1, 1))
        }
        if let queryNorm, let keyNorm { (query, key) = (try queryNorm(query), try keyNorm(key)) }
        return try output(
            attend(query, key, value, layout).reshape([tokens, heads * headSize]), summedOver: group)
    }

    /// Why heads cannot be divided by so many; nil where they can.
    func obstacle(to parts: Int) -> String? {
        heads.isMultiple(of: parts) ? nil : "has \(heads) heads, not a multiple of \(parts)"
    }

    /// Computes a part of the heads from now on and adds up over ranks, see `DivisibleBlock`; all of them where nil.
    func divide(_ division: TensorDivision?) {
        heads *= group?.size ?? 1
        group = division?.group
        for norm in [queryNorm, keyNorm] { norm?.divide(division) }
        let inner = heads * headSize, matrices: [(Linear, stacks: [Int]?)]
        switch projections {
        case .separate(let query, let key, let value): matrices = [(query, nil), (key, nil), (value, nil)]
        case .fused(let layer, let isByHead): matrices = [(layer, isByHead ? nil : [inner, inner, inner])]
        case .queryAndKeyValue(let query, let keyValue): matrices = [(query, nil), (keyValue, [inner, inner])]
        }
        guard let division else { return (matrices.map(\.0) + [output]).forEach { $0.unite() } }
        for (matrix, stacks) in matrices { matrix.divideOutput(stacks: stacks, over: division) }
        output.divideInput(over: division)
        heads /= division.group.size
    }

    private func attend(_ query: Tensor, _ key: Tensor, _ value: Tensor, _ layout: VisionLayout) throws -> Tensor {
        let segments = layout.segments
        guard let prefixes = layout.prefixes else {
            return try Tensor.packedAttention(
                query, key, value, queries: segments, keys: segments, causal: false, scale: scale)
        }
        // Two passes that need no mask: prefixes see themselves, the rest is causal over everything.
        var early: [Int] = [], late: [Int] = []
        for (index, prefix) in prefixes.enumerated() {
            let range = segments.range(index), middle = range.lowerBound + min(prefix, range.count)
            early += range.lowerBound..<middle
            late += middle..<range.upperBound
        }
        let lengths = zip(prefixes, segments.lengths).map { min($0, $1) }
        let head = Segments(lengths: lengths)
        let tail = Segments(lengths: zip(segments.lengths, lengths).map { $0 - $1 })
        let earlyRows = try Tensor(early).to(query.device), lateRows = try Tensor(late).to(query.device)
        func pick(_ tensor: Tensor, _ rows: Tensor) throws -> Tensor { try tensor.indexSelect(0, rows) }
        let first = try Tensor.packedAttention(
            pick(query, earlyRows), pick(key, earlyRows), pick(value, earlyRows), queries: head, keys: head,
            causal: false, scale: scale)
        let second = try Tensor.packedAttention(
            pick(query, lateRows), key, value, queries: tail, keys: segments, causal: true, scale: scale)
        return try Tensor.zeros(query.shape, dtype: query.dtype, device: query.device)
            .indexCopy(0, earlyRows, first).indexCopy(0, lateRows, second)
    }
}

/// The norm of queries or keys, `[tokens, heads, head size]`.
final class QueryKeyNormalization {
    private let kind: VisionTransformerConfiguration.QueryKeyNorm
    private let weight: Parameter
    private let epsilon: Double
    /// The width of the real heads together.
    private let realSize: Int
    /// The ranks that divide the heads among themselves.
    private var group: ProcessGroup?

    init(
        _ kind: VisionTransformerConfiguration.QueryKeyNorm, _ configuration: VisionTransformerConfiguration,
        _ scope: ParameterScope
    ) throws {
        self.kind = kind
        epsilon = configuration.normEpsilon
        realSize = configuration.heads * configuration.headSize
        let shape =
            kind == .acrossHeads
            ? [configuration.attentionSize]
            : [configuration.heads + configuration.paddingHeads, 1, configuration.headSize]
        weight = try scope.parameter(configuration.keys.normWeight, shape, .ones)
    }

    /// Norms a part of the heads from now on, see `DivisibleBlock`; all of them where nil.
    func divide(_ division: TensorDivision?) {
        group = division?.group
        weight.partition = division.map { Partition(of: weight, 0, over: $0) }
    }

    func callAsFunction(_ x: Tensor) throws -> Tensor {
        switch kind {
        case .acrossHeads:
            let flat = try x.reshape([x.size(0), -1])
            if let group { return try divided(flat, group).view(x.shape) }
            return try (flat.size(1) == realSize ? flat.rmsNorm(weight.tensor, epsilon: epsilon) : padded(flat))
                .view(x.shape)
        case .unitHeads:
            // Length 1 times the root of the size is a root mean square of 1.
            let ones = try Tensor.ones([x.size(-1)], dtype: x.dtype, device: x.device)
            return try x.rmsNorm(ones, epsilon: 1e-24) * scales()
        case .layerPerHead: return try x.layerNorm(nil, nil, epsilon: epsilon) * scales()
        }
    }

    /// `[heads, head size]`.
    private func scales() throws -> Tensor { try weight.tensor.squeeze(1) }

    /// The mean is that of all ranks' heads, and its gradient, too.
    private func divided(_ flat: Tensor, _ group: ProcessGroup) throws -> Tensor {
        let wide = try flat.to(.float32), width = flat.size(1)
        let real = max(0, min(width, realSize - group.rank * width))
        let own = try wide.slice(1, 0..<real).square().sum([1], keepDimensions: true)
        let mean = try group.entering(group.summing(own)) * (1 / Double(realSize))
        return try (wide * (mean + epsilon).rsqrt()).to(flat.dtype) * weight.tensor
    }

    /// Padding heads take no part in the mean, whatever they hold.
    private func padded(_ flat: Tensor) throws -> Tensor {
        let wide = try flat.to(.float32)
        let mean = try wide.slice(1, 0..<realSize).square().mean([1], keepDimensions: true)
        return try (wide * (mean + epsilon).rsqrt()).to(flat.dtype) * weight.tensor
    }
}
