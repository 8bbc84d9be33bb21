/// A tensor to be written: what the header says about it, and where its bytes come from.
public struct TensorSource {
    /// Takes the next bytes; called any number of times, in order.
    public typealias Sink = (UnsafeRawBufferPointer) throws -> Void

    /// The name in the file.
    public var name: String
    /// The element type.
    public var dtype: StoredDType
    /// The dimensions, outermost first.
    public var shape: [Int]
    /// Hands the tensor's little-endian, row-major bytes to the sink, at once or in pieces. It is called when the
    /// tensor's turn has come, so that only one need be in memory.
    public var provide: (Sink) throws -> Void

    /// A tensor whose bytes come from `provide`.
    public init(name: String, dtype: StoredDType, shape: [Int], provide: @escaping (Sink) throws -> Void) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.provide = provide
    }

    /// A tensor whose bytes are at hand.
    public init(name: String, dtype: StoredDType, shape: [Int], bytes: [UInt8]) {
        self.init(name: name, dtype: dtype, shape: shape) { sink in try bytes.withUnsafeBytes(sink) }
    }

    /// A tensor of numbers that are at hand.
    public init<Element: BitwiseCopyable>(name: String, dtype: StoredDType, shape: [Int], values: [Element]) {
        precondition(MemoryLayout<Element>.stride * 8 == dtype.bitCount, "the values are not of the dtype's size")
        self.init(name: name, dtype: dtype, shape: shape) { sink in try values.withUnsafeBytes(sink) }
    }
}
