public import Torch

/// Keys and values of one sequence, layer by layer.
///
/// Memory grows by doubling; the tensors handed out are views of it. `truncate` forgets the end, so that a prompt's
/// common beginning can be kept.
public final class KeyValueCache {
    private var layers: [(key: Tensor, value: Tensor)?]
    private var lengths: [Int]
    private let limit: Int
    /// Keys and values of the columns that gated cross-attention sees, by layer: the same for every token.
    private var columns: [(key: Tensor, value: Tensor)?]
    /// The length that scales the rotary frequencies: the prompt's.
    private var rotaryLength: Int?

    /// - Parameter limit: tokens that the sequence may hold at most.
    public init(layers: Int, limit: Int) {
        self.layers = Array(repeating: nil, count: layers)
        lengths = Array(repeating: 0, count: layers)
        columns = Array(repeating: nil, count: layers)
        self.limit = limit
    }

    /// Tokens that all layers hold.
    public var length: Int { lengths.min() ?? 0 }

    /// Bytes held.
    public var byteCount: Int {
        (layers + columns).reduce(0) { $0 + ($1.map { $0.key.byteCount + $0.value.byteCount } ?? 0) }
    }

    /// The length that scales the rotary frequencies: that of the first tokens, whatever comes behind them.
    func fixRotaryLength(_ length: Int) -> Int {
        if let rotaryLength { return rotaryLength }
        rotaryLength = length
        return length
    }

    /// Adds columns of gated cross-attention to a layer and gives all that it holds now.
    func appendColumns(layer: Int, key: Tensor, value: Tensor) throws -> (key: Tensor, value: Tensor) {
        let held = try columns[layer].map { held in
            (key: try Tensor.cat([held.key, key]), value: try Tensor.cat([held.value, value]))
        }
        let all = held ?? (key, value)
        columns[layer] = all
        return all
    }

    /// Columns that the gated layers hold.
    var columnCount: Int { columns.reduce(0) { max($0, $1?.key.size(0) ?? 0) } }

    /// The columns that a layer holds; nil for none.
    func heldColumns(layer: Int) -> (key: Tensor, value: Tensor)? { columns[layer] }

    /// Adds keys and values (`[tokens, key-value heads, head size]`) of a layer and gives all that it holds now.
    public func append(layer: Int, key: Tensor, value: Tensor) throws -> (key: Tensor, value: Tensor) {
        let start = lengths[layer], end = start + key.size(0)
        guard end <= limit else { throw ProcessingError.contextLength(tokens: end, limit: limit) }
        let held = try room(layer: layer, for: end, like: key)
        try held.key.slice(0, start..<end).copy(from: key)
        try held.value.slice(0, start..<end).copy(from: value)
        lengths[layer] = end
        return (try held.key.slice(0, 0..<end), try held.value.slice(0, 0..<end))
    }

    private func room(layer: Int, for count: Int, like tensor: Tensor) throws -> (key: Tensor, value: Tensor) {
        if let held = layers[layer], held.key.size(0) >= count { return held }
        let capacity = min(limit, max(256, count.nextPowerOfTwo))
        let shape = [capacity] + tensor.shape.dropFirst()
        let made = (
            key: try Tensor.empty(shape, dtype: tensor.dtype, device: tensor.device),
            value: try Tensor.empty(shape, dtype: tensor.dtype, device: tensor.device)
        )
        if let held = layers[layer], lengths[layer] > 0 {
            let kept = 0..<lengths[layer]
            try made.key.slice(0, kept).copy(from: held.key.slice(0, kept))
            try made.value.slice(0, kept).copy(from: held.value.slice(0, kept))
        }
        layers[layer] = made
        return made
    }

    /// Holds what another cache of the same model holds, in memory of its own; what was here is forgotten.
    public func copy(from other: KeyValueCache) throws {
        truncate(to: 0)
        for (layer, held) in other.layers.enumerated() {
            guard let held, other.lengths[layer] > 0 else { continue }
            let kept = 0..<other.lengths[layer]
            _ = try append(layer: layer, key: held.key.slice(0, kept), value: held.value.slice(0, kept))
        }
        // Columns are replaced, never written to.
        columns = other.columns
        rotaryLength = other.rotaryLength
    }

    /// Keeps the first `length` tokens; no tokens, no columns.
    public func truncate(to length: Int) {
        lengths = lengths.map { min($0, max(0, length)) }
        if length <= 0 {
            columns = columns.map { _ in nil }
            rotaryLength = nil
        }
    }
}

extension Int {
    fileprivate var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
