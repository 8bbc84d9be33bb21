internal import NN
internal import Torch

/// What the gated layers of one forward pass see.
public struct CrossAttentionPass {
    /// Columns that are new in this pass, of all sequences; nil where the caches hold all.
    let columns: Tensor?
    /// The new columns of each sequence.
    let segments: Segments
    let view: ColumnView

    /// The same with other columns.
    func seeing(_ columns: Tensor) -> CrossAttentionPass {
        CrossAttentionPass(columns: columns, segments: segments, view: view)
    }

    private init(columns: Tensor?, segments: Segments, view: ColumnView) {
        self.columns = columns
        self.segments = segments
        self.view = view
    }

    /// Nil where no sequence has columns.
    init?(_ input: ModelInput, _ columns: Tensor?, _ context: ForwardContext, device: Device) throws {
        let fresh = input.memory?.segments ?? Segments(lengths: input.segments.lengths.map { _ in 0 })
        let counts = fresh.lengths.enumerated().map { sequence, count in
            count + (context.caches?[sequence].columnCount ?? 0)
        }
        guard counts.contains(where: { $0 > 0 }) else { return nil }
        self.columns = columns
        segments = fresh
        view = try ColumnView(input.visibleColumns, segments: input.segments, counts: counts, device: device)
    }
}

/// NVLM-X's and NVLM-H's sub-layer: `tanh(gate)` times attention from the normed tokens to the pictures' columns, between
/// self-attention and feed-forward (NVLM, figure 3; `nvlm.md` section 3 where the paper is silent).
public final class GatedCrossAttention {
    private let norm: RMSNorm
    private let attention: ColumnAttention
    private let gate: Parameter
    private let index: Int

    /// Takes `norm.weight`, `{q,k,v,o}_proj.weight` and `gate` from the scope. Heads are the decoder's.
    init(_ configuration: DecoderConfiguration, layer: Int, _ scope: ParameterScope) throws {
        index = layer
        norm = try RMSNorm(configuration.hiddenSize, epsilon: configuration.normEpsilon, scope["norm"])
        var shape = ColumnAttention.Configuration(
            hiddenSize: configuration.hiddenSize, columnSize: configuration.hiddenSize, heads: configuration.heads,
            keyValueHeads: configuration.keyValueHeads, headSize: configuration.headSize)
        shape.initializerRange = configuration.initializerRange
        attention = try ColumnAttention(shape, scope)
        // Closed at first, so that training starts from the text model.
        gate = try scope.parameter("gate", [1], .zeros)
    }

    /// Why it cannot be divided by so many; nil where it can.
    func obstacle(to parts: Int) -> String? {
        attention.obstacle(to: parts).map { "has gated cross-attention that \($0)" }
    }

    /// Computes a part of the heads from now on, see `DivisibleBlock`; all of them where nil.
    func divide(_ division: TensorDivision?) { attention.divide(division) }

    /// What is added to the tokens `[tokens, hidden]`: the same shape, exactly 0 for tokens that see nothing.
    func callAsFunction(_ x: Tensor, _ pass: CrossAttentionPass, _ context: ForwardContext) throws -> Tensor {
        let (key, value) = try keysAndValues(pass, context)
        if pass.view.isEmpty { return try Tensor.zeros(x.shape, dtype: x.dtype, device: x.device) }
        return try attention(norm(x), key: key, value: value, pass.view) * gate.tensor.tanh()
    }

    private func keysAndValues(_ pass: CrossAttentionPass, _ context: ForwardContext) throws -> (Tensor, Tensor) {
        let fresh = try pass.columns.map(attention.keysAndValues)
        guard let caches = context.caches else {
            guard let fresh else { preconditionFailure("no columns and no caches that hold them") }
            return fresh
        }
        var keys: [Tensor] = [], values: [Tensor] = []
        for (sequence, cache) in caches.enumerated() {
            let range = pass.segments.range(sequence)
            let held =
                if let fresh, !range.isEmpty {
                    try cache.appendColumns(
                        layer: index, key: fresh.key.slice(0, range), value: fresh.value.slice(0, range))
                } else {
                    cache.heldColumns(layer: index)
                }
            if let held {
                keys.append(held.key)
                values.append(held.value)
            }
        }
        return keys.count == 1 ? (keys[0], values[0]) : (try Tensor.cat(keys), try Tensor.cat(values))
    }
}
