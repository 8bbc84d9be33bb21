import Safetensors

/// The elements of a tensor's little-endian bytes as `Double`, which holds all but the largest 64-bit integers exactly.
///
/// - Throws: `GoldenError` for types that goldens never have, and for bytes that are not whole elements.
func decodeElements(_ bytes: UnsafeRawBufferPointer, _ dtype: StoredDType, name: String) throws -> [Double] {
    func read<Raw: BitwiseCopyable>(_ type: Raw.Type, _ convert: (Raw) -> Double) throws -> [Double] {
        let stride = MemoryLayout<Raw>.stride
        guard bytes.count % stride == 0 else {
            throw GoldenError(file: "comparison", tensor: name, fault: "\(bytes.count) bytes are not whole elements")
        }
        return (0..<bytes.count / stride).map {
            convert(bytes.loadUnaligned(fromByteOffset: $0 * stride, as: Raw.self))
        }
    }
    switch dtype {
    case .bool, .u8: return try read(UInt8.self) { Double($0) }
    case .i8: return try read(Int8.self) { Double($0) }
    case .i16: return try read(Int16.self) { Double($0) }
    case .u16: return try read(UInt16.self) { Double($0) }
    case .i32: return try read(Int32.self) { Double($0) }
    case .u32: return try read(UInt32.self) { Double($0) }
    case .i64: return try read(Int64.self) { Double($0) }
    case .u64: return try read(UInt64.self) { Double($0) }
    case .f32: return try read(Float.self) { Double($0) }
    case .f64: return try read(Double.self) { $0 }
    case .bf16: return try read(UInt16.self) { Double(Float(bitPattern: UInt32($0) << 16)) }
    case .f16: return try read(UInt16.self, halfPrecision)
    default:
        throw GoldenError(file: "comparison", tensor: name, fault: "\(dtype.rawValue) elements are not compared")
    }
}

// By hand, because Swift has no `Float16` on Intel Macs.
private func halfPrecision(_ bits: UInt16) -> Double {
    let sign: Double = bits & 0x8000 == 0 ? 1 : -1
    let exponent = Int(bits >> 10 & 0x1F)
    let fraction = Double(bits & 0x3FF)
    switch exponent {
    case 0: return sign * fraction * 0x1p-24
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * Double(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
    }
}
