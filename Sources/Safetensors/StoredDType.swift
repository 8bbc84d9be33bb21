/// The element types of the safetensors format, named as in its headers.
public enum StoredDType: String, Sendable, Hashable, CaseIterable {
    case bool = "BOOL"
    case u8 = "U8"
    case i8 = "I8"
    case i16 = "I16"
    case u16 = "U16"
    case i32 = "I32"
    case u32 = "U32"
    case i64 = "I64"
    case u64 = "U64"
    case f16 = "F16"
    case bf16 = "BF16"
    case f32 = "F32"
    case f64 = "F64"
    case c64 = "C64"
    case f8e4m3 = "F8_E4M3"
    case f8e5m2 = "F8_E5M2"
    case f8e8m0 = "F8_E8M0"
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    case f6e2m3 = "F6_E2M3"
    case f6e3m2 = "F6_E3M2"
    case f4 = "F4"

    /// Bits of one element; below 8 for the packed types.
    public var bitCount: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .u8, .i8, .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .i64, .u64, .f64, .c64: 64
        }
    }

    /// The address alignment, in bytes, that an element wants when it is used in place.
    public var alignment: Int {
        self == .c64 ? 4 : max(1, bitCount / 8)
    }

    /// The bytes that a tensor of `shape` takes, or `nil` where the product overflows, a dimension is negative, or the
    /// bits do not fill whole bytes (`Fit` tells which).
    public func byteCount(of shape: [Int]) -> Int? {
        guard case .bytes(let count) = fit(shape) else { return nil }
        return count
    }

    enum Fit: Equatable {
        case bytes(Int)
        case overflow
        case partialByte
    }

    func fit(_ shape: [Int]) -> Fit {
        // Even where a zero makes the product small, the other dimensions must not overflow: the reference refuses
        // that too, and engines multiply strides in the same order.
        var elements = 1
        for dimension in shape {
            guard dimension >= 0 else { return .overflow }
            let (product, overflow) = elements.multipliedReportingOverflow(by: dimension)
            guard !overflow else { return .overflow }
            elements = product
        }
        let (bits, overflow) = elements.multipliedReportingOverflow(by: bitCount)
        guard !overflow else { return .overflow }
        return bits % 8 == 0 ? .bytes(bits / 8) : .partialByte
    }
}
