internal import Torch

/// What AdamW remembers of each value: the running mean of its gradients, or of their squares. Flat, in float32 or in 8
/// bits.
struct Moments {
    private let whole: Tensor?
    private let small: QuantizedMoments?

    /// Zeros for `count` values.
    init(_ count: Int, areSquares: Bool, isQuantized: Bool, device: Device) throws {
        whole = isQuantized ? nil : try Tensor.zeros([count], device: device)
        small = isQuantized ? try QuantizedMoments(count, areSquares: areSquares, device: device) : nil
    }

    /// The moments themselves; nil where they are in 8 bits.
    var values: Tensor? { whole }

    /// Calls `body` with float32 moments of `range` and keeps what it makes of them.
    func update(_ range: Range<Int>, _ body: (Tensor) throws -> Void) throws {
        if let whole { return try body(whole.slice(0, range)) }
        guard let small else { return }
        let values = try small.values(range)
        try body(values)
        try small.set(values, range)
    }

    /// Names and tensors of what is in 8 bits.
    var codes: [(name: String, tensor: Tensor)] {
        small.map { [("codes", $0.codes), ("scales", $0.scales)] } ?? []
    }
}

/// Moments with 8 bits a value, and a bfloat16 scale for each block of values (after Dettmers et al. 2022).
///
/// Means are stored linearly. Of squares the root is stored, rounded up: a root that became zero would make the step of
/// its value as large as the reciprocal of epsilon.
final class QuantizedMoments {
    /// Small enough to divide most sizes of matrices also when several ranks divide these, so that blocks are the same
    /// however a matrix lies.
    static let block = 64

    let codes: Tensor
    let scales: Tensor
    private let areSquares: Bool

    /// - Parameter count: a multiple of the block.
    init(_ count: Int, areSquares: Bool, device: Device) throws {
        precondition(count.isMultiple(of: Self.block), "whole blocks")
        self.areSquares = areSquares
        codes = try Tensor.zeros([count], dtype: areSquares ? .uint8 : .int8, device: device)
        scales = try Tensor.zeros([count / Self.block], dtype: .bfloat16, device: device)
    }

    private func blocks(_ range: Range<Int>) -> Range<Int> {
        range.lowerBound / Self.block..<range.upperBound / Self.block
    }

    /// Float32, flat.
    func values(_ range: Range<Int>) throws -> Tensor {
        let scale = try scales.slice(0, blocks(range)).to(.float32).unsqueeze(1)
        let values = try codes.slice(0, range).to(.float32).view([-1, Self.block]) * scale
        return try (areSquares ? values.square() : values).reshape([-1])
    }

    func set(_ values: Tensor, _ range: Range<Int>) throws {
        let rows = try (areSquares ? values.sqrt() : values).view([-1, Self.block])
        // Rounded up, or the largest value would have no code.
        let small = try (rows.abs().amax([1]) * ((1 + 1 / 256.0) / (areSquares ? 255.0 : 127.0))).to(.bfloat16)
        let scale = try small.to(.float32)
        // Blocks of zeros have a scale of zero; anything may stand below them.
        let shares = try rows / scale.maximum(.full([1], 1e-38, device: scale.device)).unsqueeze(1)
        let coded = try areSquares ? -((-shares).floor()).clamp(-255...0) : shares.round().clamp(-127...127)
        try codes.slice(0, range).copy(from: coded.reshape([-1]).to(codes.dtype))
        try scales.slice(0, blocks(range)).copy(from: small)
    }
}
