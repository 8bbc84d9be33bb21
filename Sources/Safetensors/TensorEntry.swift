/// Where one tensor lies in a safetensors file, and how to read it.
public struct TensorEntry: Sendable, Hashable {
    /// The element type.
    public var dtype: StoredDType
    /// The dimensions, outermost first; empty for a scalar.
    public var shape: [Int]
    /// The bytes, counted from the start of the file.
    public var byteRange: Range<Int>

    /// The number of bytes.
    public var byteCount: Int { byteRange.count }
    /// The number of elements.
    public var elementCount: Int { shape.reduce(1, *) }
    /// Whether the bytes can be used in place: the format does not promise that a tensor starts at a multiple of its
    /// element size, only that most writers see to it.
    public var isAligned: Bool { byteRange.lowerBound % dtype.alignment == 0 }
}
