import Foundation
import Safetensors

/// The bytes of a file with this header, whatever it says, and this many bytes of data.
func fileImage(_ header: String, data: Int = 0, length: UInt64? = nil) -> [UInt8] {
    fileImage(Array(header.utf8), data: data, length: length)
}

func fileImage(_ header: [UInt8], data: Int = 0, length: UInt64? = nil) -> [UInt8] {
    withUnsafeBytes(of: (length ?? UInt64(header.count)).littleEndian) { Array($0) } + header
        + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
}

/// One entry of a header.
func entry(_ name: String, _ dtype: String = "F32", _ shape: String = "[2]", _ offsets: String = "[0,8]") -> String {
    "\"\(name)\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
}

func read(_ bytes: [UInt8]) throws -> SafetensorsHeader {
    try bytes.withUnsafeBytes { try SafetensorsHeader(file: $0, named: "test.safetensors") }
}

/// The name of the error's case, without what it carries.
func caseName(_ reason: SafetensorsError.Reason) -> String {
    String("\(reason)".prefix { $0 != "(" })
}

extension SafetensorsFile {
    /// A copy of a tensor's bytes.
    func copy(of name: String) throws -> [UInt8] { try withBytes(of: name) { Array($0) } }
}
