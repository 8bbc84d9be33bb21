/// GPT-2's printable stand-ins for the 256 bytes (`bytes_to_unicode` in its encoder.py).
enum ByteAlphabet {
    /// The scalar that stands for each byte.
    static let scalars: [UInt32] = {
        var scalars = [UInt32](repeating: 0, count: 256)
        var next: UInt32 = 256
        for byte in UInt32(0)..<256 {
            let printable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
            scalars[Int(byte)] = printable ? byte : next
            if !printable { next += 1 }
        }
        return scalars
    }()

    /// The byte for which a scalar below 512 stands, or -1.
    static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 512)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
        return bytes
    }()

    /// The UTF-8 of the scalar that stands for each byte.
    static let encoded: [[UInt8]] = scalars.map { value in
        var bytes: [UInt8] = []
        if let scalar = Unicode.Scalar(value) { appendScalar(scalar, to: &bytes) }
        return bytes
    }

    /// The bytes for which a token stands; `nil` if one of its scalars stands for none.
    static func decode(_ token: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(token.count)
        var index = 0
        while index < token.count {
            let (scalar, length) = decodeScalar(token, index)
            guard scalar < 512, bytes[Int(scalar)] >= 0 else { return nil }
            result.append(UInt8(bytes[Int(scalar)]))
            index += length
        }
        return result
    }

    static func encode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        bytes.flatMap { encoded[Int($0)] }
    }
}
