public import NN
public import Torch

/// Queries, keys and values from a layer's input, however the checkpoint stacks their matrices.
public final class AttentionProjections {
    private let layout: DecoderNaming.AttentionProjections
    private let matrices: [Linear]
    /// Those that this process computes.
    private var heads: Int
    private var keyValueHeads: Int
    private let headSize: Int
    private var parts = 1

    init(_ configuration: DecoderConfiguration, _ scope: ParameterScope) throws {
        layout = configuration.naming.projections
        heads = configuration.heads
        keyValueHeads = configuration.keyValueHeads
        headSize = configuration.headSize
        let queries = heads * headSize, keys = keyValueHeads * headSize
        func matrix(_ name: String, _ rows: Int) throws -> Linear {
            try Linear(
                configuration.hiddenSize, rows, bias: configuration.hasAttentionBias, scope[name],
                initialization: .normal(configuration.initializerRange))
        }
        switch layout {
        case .separate(let query, let key, let value):
            matrices = [try matrix(query, queries), try matrix(key, keys), try matrix(value, keys)]
        case .stacked(let name), .grouped(let name): matrices = [try matrix(name, queries + 2 * keys)]
        case .groupedKeyValue(let query, let keyValue):
            matrices = [try matrix(query, queries), try matrix(keyValue, 2 * keys)]
        }
    }

    /// Has a part of the heads from now on, see `DivisibleBlock`; all of them where nil.
    func divide(_ division: TensorDivision?) {
        heads *= parts
        keyValueHeads *= parts
        parts = 1
        guard let division else { return matrices.forEach { $0.unite() } }
        let queries = heads * headSize, keys = keyValueHeads * headSize
        for (index, matrix) in matrices.enumerated() {
            var stacks: [Int]?
            // Elsewhere rows lie head by head.
            if case .stacked = layout, index == 0 { stacks = [queries, keys, keys] }
            matrix.divideOutput(stacks: stacks, over: division)
        }
        parts = division.group.size
        heads /= parts
        keyValueHeads /= parts
    }

    /// `[tokens, hidden]` gives `[tokens, heads, head size]` and twice `[tokens, key-value heads, head size]`.
    func callAsFunction(_ x: Tensor) throws -> (query: Tensor, key: Tensor, value: Tensor) {
        let tokens = x.size(0)
        switch layout {
        case .separate:
            return (
                try matrices[0](x).view([tokens, heads, headSize]),
                try matrices[1](x).view([tokens, keyValueHeads, headSize]),
                try matrices[2](x).view([tokens, keyValueHeads, headSize])
            )
        case .stacked:
            let parts = try matrices[0](x).view([tokens, heads + 2 * keyValueHeads, headSize])
                .split([heads, keyValueHeads, keyValueHeads], dimension: 1)
            return (parts[0], parts[1], parts[2])
        case .grouped:
            let group = heads / keyValueHeads
            let stacked = try matrices[0](x).view([tokens, keyValueHeads, group + 2, headSize])
            return (
                try stacked.slice(2, 0..<group).reshape([tokens, heads, headSize]), try stacked.select(2, group),
                try stacked.select(2, group + 1)
            )
        case .groupedKeyValue:
            let stacked = try matrices[1](x).view([tokens, keyValueHeads, 2, headSize])
            return (
                try matrices[0](x).view([tokens, heads, headSize]), try stacked.select(2, 0), try stacked.select(2, 1)
            )
        }
    }
}

/// Grouped-query self-attention with rotary positions.
public final class SelfAttention {
    public let projections: AttentionProjections
    public let output: Linear
    private let heads: Int
    private let keyValueHeads: Int
    private let headSize: Int
    private let index: Int
    /// The ranks that divide the heads among themselves.
    private var group: ProcessGroup?

    public init(_ configuration: DecoderConfiguration, layer: Int, _ scope: ParameterScope) throws {
        heads = configuration.heads
        keyValueHeads = configuration.keyValueHeads
        headSize = configuration.headSize
        index = layer
        projections = try AttentionProjections(configuration, scope)
        output = try Linear(
            heads * headSize, configuration.hiddenSize, bias: configuration.hasAttentionOutputBias,
            scope[configuration.naming.output], initialization: .normal(configuration.initializerRange))
    }

    /// Why heads cannot be divided by so many; nil where they can.
    func obstacle(to parts: Int) -> String? {
        heads.isMultiple(of: parts) && keyValueHeads.isMultiple(of: parts)
            ? nil : "has \(heads) heads and \(keyValueHeads) key-value heads, not multiples of \(parts)"
    }

    /// Computes a part of the heads from now on and adds up over ranks, see `DivisibleBlock`; all of them where nil.
    func divide(_ division: TensorDivision?) {
        group = division?.group
        projections.divide(division)
        if let division { output.divideInput(over: division) } else { output.unite() }
    }

    /// `[tokens, hidden]` gives the same shape.
    public func callAsFunction(_ x: Tensor, _ pass: DecoderPass) throws -> Tensor {
        let tokens = x.size(0)
        var (q, k, v) = try projections(group?.entering(x) ?? x)
        if let scale = pass.queryScale { q = try q * scale.to(q.dtype) }
        if let probe = pass.context.attentionProbe, probe.layer == index {
            try probe.note(q.rotated(by: pass.rotary), k.rotated(by: pass.rotary))
        }
        if pass.context.caches == nil, pass.rotary.isFused(for: q, pass.segments) {
            let attended = try Tensor.rotaryAttention(
                q, k, v, cosine: pass.rotary.cosine, sine: pass.rotary.sine, segments: pass.segments, causal: true,
                scale: 1 / Double(headSize).squareRoot())
            return try output(attended, summedOver: group)
        }
        let attended = try attend(q.rotated(by: pass.rotary), k.rotated(by: pass.rotary), v, pass)
        return try output(attended.reshape([tokens, -1]), summedOver: group)
    }

    private func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ pass: DecoderPass) throws -> Tensor {
        let scale = 1 / Double(headSize).squareRoot()
        guard let caches = pass.context.caches else {
            return try Tensor.packedAttention(
                q, k, v, queries: pass.segments, keys: pass.segments, causal: true, scale: scale)
        }
        precondition(caches.count == pass.segments.count, "one cache for each sequence")
        var parts: [Tensor] = []
        for (sequence, cache) in caches.enumerated() {
            let range = pass.segments.range(sequence)
            if range.isEmpty { continue }
            let held = try cache.append(layer: index, key: k.slice(0, range), value: v.slice(0, range))
            parts.append(
                try Tensor.packedAttention(
                    q.slice(0, range), held.key, held.value, queries: Segments(lengths: [range.count]),
                    keys: Segments(lengths: [held.key.size(0)]), causal: true, scale: scale))
        }
        return parts.count == 1 ? parts[0] : try Tensor.cat(parts)
    }
}
