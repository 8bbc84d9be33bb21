internal import CTorch

/// A frozen matrix in 4 bits a value: NormalFloat in blocks of 64 whose scales are quantised once more (QLoRA, Dettmers et
/// al. 2023, section 3), in the layout of bitsandbytes. It takes 4.13 bits a value.
public struct QuantizedMatrix: Sendable {
    public let shape: [Int]
    /// The type that values come back in.
    public let dtype: DType
    /// Two values a byte, uint8.
    private let codes: Tensor
    /// One for each 64 values, uint8, and one for each 256 of those, float32.
    private let scales: Tensor
    /// Nil of a piece, whose scales are float32, one for each `unit` values.
    private let outerScales: Tensor?
    /// What scales are counted from.
    private let offset: Double
    private let unit: Int

    /// - Parameter source: `[out, in]`, float32 or bfloat16; it is packed on the CPU, and lies where it was.
    public init(_ source: Tensor) throws {
        let matrix = try source.to(.cpu)
        var results = [OpaquePointer?](repeating: nil, count: 3)
        var offset = 0.0
        try run("nf4_quantize", [matrix]) { ct_nf4_quantize(matrix.handle, &results, &offset, $0) }
        let parts = try results.compactMap { try $0.map { try Tensor(owning: $0).to(source.device) } }
        (codes, scales, outerScales) = (parts[0], parts[1], parts[2])
        self.offset = offset
        unit = 64
        shape = matrix.shape
        dtype = matrix.dtype
    }

    /// Some rows (dimension 0) or columns (1) of a whole matrix: the same values, on the same device. Where blocks of 64 end
    /// within the piece's rows, their scales are held for fewer values.
    public func piece(_ dimension: Int, _ ranges: [Range<Int>]) throws -> QuantizedMatrix {
        guard let outerScales else { preconditionFailure("pieces are cut of whole matrices") }
        func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
        let bounds = ranges.flatMap { [$0.lowerBound, $0.upperBound] }
        let unit = (dimension == 1 ? bounds : []).reduce(divisor(64, shape[1]), divisor)
        var size = shape
        size[dimension] = ranges.reduce(0) { $0 + $1.count }
        let whole = try [codes, scales, outerScales].map { try $0.to(.cpu) }
        var results = [OpaquePointer?](repeating: nil, count: 2)
        try run("nf4_piece", whole) { error in
            withSizes(shape) { sizes, _ in
                withSizes(bounds) { bounds, _ in
                    ct_nf4_piece(
                        whole[0].handle, whole[1].handle, whole[2].handle, offset, sizes, Int32(dimension), bounds,
                        Int32(ranges.count), Int64(unit), &results, error)
                }
            }
        }
        let parts = try results.compactMap { try $0.map { try Tensor(owning: $0).to(codes.device) } }
        return QuantizedMatrix(shape: size, dtype: dtype, codes: parts[0], scales: parts[1], unit: unit)
    }

    private init(shape: [Int], dtype: DType, codes: Tensor, scales: Tensor, unit: Int) {
        (self.shape, self.dtype, self.codes, self.scales, self.unit) = (shape, dtype, codes, scales, unit)
        (outerScales, offset) = (nil, 0)
    }

    /// The values, rounded: `[out, in]`.
    public func values() throws -> Tensor {
        try produce("nf4_dequantize", [codes]) { error in
            withSizes(shape) { sizes, count in
                ct_nf4_dequantize(
                    codes.handle, scales.handle, outerScales?.handle, offset, Int64(unit), sizes, count, dtype.rawValue,
                    error)
            }
        }
    }

    public var byteCount: Int { codes.byteCount + scales.byteCount + (outerScales?.byteCount ?? 0) }
    /// Two values a byte, the first in the upper half: uint8.
    public var packed: Tensor { codes }
}

extension Tensor {
    /// `self · matrixᵀ + bias`: `[…, in]` gives `[…, out]`. The values come back for the product, and again for its
    /// gradient; in between neither they nor `self` are kept.
    public func linear(_ matrix: QuantizedMatrix, _ bias: Tensor? = nil) throws -> Tensor {
        let fused = bias?.requiresGradient == true ? nil : bias
        let output = try customFunction(inputs: [self]) {
            [try linear(matrix.values(), fused)]
        } backward: { gradients in
            [try gradients[0].map { try $0.matmul(matrix.values()) }]
        }[0]
        return try fused == nil ? bias.map { try output + $0 } ?? output : output
    }
}
