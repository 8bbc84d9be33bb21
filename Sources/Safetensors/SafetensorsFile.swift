/// One safetensors file, mapped into memory and checked.
public final class SafetensorsFile: Sendable {
    /// The mapping. Whoever makes tensors that use the bytes in place retains this for as long as they live.
    public let mapping: MappedFile
    /// The checked header.
    public let header: SafetensorsHeader

    /// Maps and checks `path`; no tensor's bytes are read.
    ///
    /// - Throws: `FileSystemError` if it cannot be opened, `SafetensorsError` if it cannot be trusted.
    public init(path: String) throws {
        mapping = try MappedFile(path: path)
        header = try SafetensorsHeader(file: mapping.bytes, named: path)
    }

    /// The path as given.
    public var path: String { mapping.path }
    /// The tensors by name.
    public var entries: [String: TensorEntry] { header.entries }
    /// The names in the order of the bytes.
    public var names: [String] { header.names }
    /// What the writer wished to note.
    public var metadata: [String: String] { header.metadata }

    /// The entry of a tensor.
    ///
    /// - Throws: `SafetensorsError` with `.missingTensor`.
    public func entry(_ name: String) throws -> TensorEntry {
        guard let entry = header.entries[name] else {
            throw SafetensorsError(file: path, tensor: name, reason: .missingTensor)
        }
        return entry
    }

    /// The little-endian, row-major bytes of a tensor, valid only while this object (or its `mapping`) lives.
    ///
    /// The last use of a variable ends its life: where nothing else keeps the object, use `withBytes`. The bytes may
    /// start at any address: use them in place only where `TensorEntry.isAligned`.
    ///
    /// - Throws: `SafetensorsError` with `.missingTensor`.
    public func bytes(of name: String) throws -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: mapping.bytes[try entry(name).byteRange])
    }

    /// Lends the little-endian, row-major bytes of a tensor.
    ///
    /// - Throws: `SafetensorsError` with `.missingTensor`, and what `body` throws.
    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try withExtendedLifetime(mapping) { try body(try bytes(of: name)) }
    }

    /// Tells the system that this tensor will be read soon.
    public func prefetch(_ name: String) throws {
        mapping.prefetch(try entry(name).byteRange)
    }
}
