public import Safetensors

/// The golden outputs of a folder: `golden.json` and, where it has tensors, `golden.safetensors`.
///
/// The format is that of `Tests/Goldens/README.md`: whole tensors under their names, large ones as a sample
/// (`<name>.sample`), and sampled logits with `<name>.last_row` and `<name>.argmax` besides.
public final class GoldenFolder: Sendable {
    /// The folder.
    public let path: String
    /// All of `golden.json`: cases, messages, ids, training steps.
    public let json: GoldenJSON
    /// What is said about each tensor.
    public let tensors: [String: GoldenTensor]
    /// The stored tensors; `nil` where the folder has none.
    public let file: SafetensorsFile?

    /// Opens the goldens of a folder.
    ///
    /// - Throws: `GoldenError`, `SafetensorsError`, `FileSystemError`.
    public init(path: String) throws {
        self.path = path
        let jsonPath = "\(path)/golden.json"
        do {
            json = try GoldenJSON(path: jsonPath)
        } catch let fault as JSONCursor.Fault {
            throw GoldenError(file: jsonPath, fault: "\(fault)")
        }
        tensors = try Dictionary(
            uniqueKeysWithValues: (json["tensors"].object ?? [:]).map { name, tensor in
                (name, try GoldenTensor(tensor, name: name, file: jsonPath))
            })
        file = tensors.isEmpty ? nil : try SafetensorsFile(path: "\(path)/golden.safetensors")
    }

    /// What is said about a tensor.
    ///
    /// - Throws: `GoldenError` where there is none of this name.
    public func tensor(_ name: String) throws -> GoldenTensor {
        guard let tensor = tensors[name] else { throw GoldenError(file: path, tensor: name, fault: "no such golden") }
        return tensor
    }

    /// The bytes of a whole tensor, or of a stored part such as `<name>.sample`; valid while this folder lives.
    ///
    /// - Throws: `GoldenError` where only a sample is stored or there is none of this name.
    public func bytes(of name: String) throws -> UnsafeRawBufferPointer {
        guard let file, file.entries[name] != nil else {
            let fault = tensors[name]?.sampleStep == nil ? "not stored" : "only a sample is stored"
            throw GoldenError(file: path, tensor: name, fault: fault)
        }
        return try file.bytes(of: name)
    }

    /// The elements of a stored tensor as `Float`, for feeding a model.
    ///
    /// - Throws: as `bytes(of:)`.
    public func floats(_ name: String) throws -> [Float] { try doubles(name).map { Float($0) } }

    /// The elements of a stored tensor as `Int`, for feeding a model with ids.
    ///
    /// - Throws: as `bytes(of:)`; `GoldenError` where an element is not a whole number.
    public func ints(_ name: String) throws -> [Int] {
        try doubles(name).map { value in
            guard let whole = Int(exactly: value) else {
                throw GoldenError(file: path, tensor: name, fault: "\(value) is not a whole number")
            }
            return whole
        }
    }

    /// The elements of a stored tensor.
    ///
    /// - Throws: as `bytes(of:)`.
    public func doubles(_ name: String) throws -> [Double] {
        let bytes = try bytes(of: name)
        guard let entry = file?.entries[name] else { return [] }
        return try decodeElements(bytes, entry.dtype, name: name)
    }
}
