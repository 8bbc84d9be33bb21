internal import CTorch
public import Foundation

/// A multi-dimensional array of the engine, with value-like operations named as the field names them.
///
/// Every operation that can fail throws a `TorchError`. A tensor may be read from several threads, but work on tensors
/// should stay on one thread per engine: libtorch keeps a thread pool for each thread that calls it.
public final class Tensor: @unchecked Sendable {
    /// One reference to libtorch's `TensorImpl`.
    let handle: OpaquePointer

    /// Takes over one reference.
    init(owning handle: OpaquePointer) { self.handle = handle }

    deinit { ct_release(handle) }

    /// Sizes of the dimensions, outermost first.
    public var shape: [Int] {
        let rank = Int(ct_rank(handle))
        return withUnsafeTemporaryAllocation(of: Int64.self, capacity: max(rank, 1)) { buffer in
            ct_sizes(handle, buffer.baseAddress)
            return (0..<rank).map { Int(buffer[$0]) }
        }
    }

    /// Distance in elements between neighbours along each dimension.
    public var strides: [Int] {
        let rank = Int(ct_rank(handle))
        return withUnsafeTemporaryAllocation(of: Int64.self, capacity: max(rank, 1)) { buffer in
            ct_strides(handle, buffer.baseAddress)
            return (0..<rank).map { Int(buffer[$0]) }
        }
    }

    public var rank: Int { Int(ct_rank(handle)) }
    public var count: Int { Int(ct_element_count(handle)) }
    public var dtype: DType {
        guard let dtype = DType(rawValue: ct_dtype(handle)) else {
            preconditionFailure("a tensor of a type that Omma never makes")
        }
        return dtype
    }
    public var device: Device { Device(ct_device_of(handle)) }
    public var isContiguous: Bool { ct_is_contiguous(handle) }

    /// Bytes of the elements (not of the storage that a view shares).
    public var byteCount: Int { count * dtype.size }

    /// The size of one dimension; negative numbers count from the last.
    public func size(_ dimension: Int) -> Int {
        let shape = shape
        let index = dimension < 0 ? dimension + shape.count : dimension
        precondition(shape.indices.contains(index), "dimension \(dimension) of a tensor of shape \(shape)")
        return shape[index]
    }

    /// Whether both look at the same memory.
    public func sharesStorage(with other: Tensor) -> Bool { ct_same_storage(handle, other.handle) }

    /// The address of the first element on the CPU, for kernels; nil where there is none.
    ///
    /// Valid while the tensor lives: use it inside `withExtendedLifetime`.
    public var dataPointer: UnsafeMutableRawPointer? { ct_data(handle) }
}

extension Tensor: CustomStringConvertible {
    public var description: String {
        guard device != .meta, count <= 64, let values = try? doubles() else {
            return "Tensor(\(shape) \(dtype) \(device))"
        }
        return "Tensor(\(shape) \(dtype) \(values))"
    }
}

// MARK: - creation

extension Tensor {
    public static func empty(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
        try produce("empty", []) { error in
            withSizes(shape) { ct_empty($0, $1, dtype.rawValue, device.raw, error) }
        }
    }

    public static func full(_ shape: [Int], _ value: Double, dtype: DType = .float32, device: Device = .cpu) throws
        -> Tensor
    {
        try produce("full", []) { error in
            withSizes(shape) { ct_full($0, $1, value, dtype.rawValue, device.raw, error) }
        }
    }

    public static func zeros(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
        try full(shape, 0, dtype: dtype, device: device)
    }

    public static func ones(_ shape: [Int], dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
        try full(shape, 1, dtype: dtype, device: device)
    }

    /// `start, start + step, …` below `end`.
    public static func arange(
        _ start: Double = 0, _ end: Double, step: Double = 1, dtype: DType = .int64, device: Device = .cpu
    ) throws -> Tensor {
        try produce("arange", []) { ct_arange(start, end, step, dtype.rawValue, device.raw, $0) }
    }

    /// A scalar tensor.
    public static func scalar(_ value: Double, dtype: DType = .float32, device: Device = .cpu) throws -> Tensor {
        try full([], value, dtype: dtype, device: device)
    }

    /// A copy of `values`; their number must fill `shape`.
    public convenience init<Element: TensorElement>(_ values: [Element], shape: [Int]? = nil) throws {
        let shape = shape ?? [values.count]
        guard shape.reduce(1, *) == values.count else {
            throw TorchError(
                kind: .invalid, operation: "tensor from array", message: "\(values.count) values do not fill \(shape)")
        }
        let made = try values.withUnsafeBytes { bytes in
            try Tensor.copying(bytes, shape: shape, dtype: Element.dtype)
        }
        ct_retain(made.handle)
        self.init(owning: made.handle)
    }

    /// A copy of raw little-endian elements.
    public static func copying(_ bytes: UnsafeRawBufferPointer, shape: [Int], dtype: DType) throws -> Tensor {
        guard bytes.count == shape.reduce(1, *) * dtype.size else {
            throw TorchError(
                kind: .invalid, operation: "tensor from bytes",
                message: "\(bytes.count) bytes do not fill \(shape) of \(dtype)")
        }
        return try produce("tensor from bytes", []) { error in
            withSizes(shape) { ct_from_bytes(bytes.baseAddress, $0, $1, dtype.rawValue, error) }
        }
    }

    /// A tensor over memory that `owner` keeps alive; nothing is copied. The memory must not be written through the
    /// tensor when it is a read-only mapping.
    public static func using(
        _ bytes: UnsafeRawBufferPointer, shape: [Int], dtype: DType, owner: AnyObject
    ) throws -> Tensor {
        guard bytes.count == shape.reduce(1, *) * dtype.size else {
            throw TorchError(
                kind: .invalid, operation: "tensor over memory",
                message: "\(bytes.count) bytes do not fill \(shape) of \(dtype)")
        }
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return try empty(shape, dtype: dtype) }
        let context = Unmanaged.passRetained(owner).toOpaque()
        return try produce("tensor over memory", []) { error in
            withSizes(shape) {
                ct_from_memory(
                    UnsafeMutableRawPointer(mutating: base), $0, $1, dtype.rawValue, context,
                    { pointer in
                        if let pointer { Unmanaged<AnyObject>.fromOpaque(pointer).release() }
                    }, error)
            }
        }
    }
}

// MARK: - reading and converting

extension Tensor {
    /// The elements in row-major order, copied to the host; the element type must match.
    public func values<Element: TensorElement>(_ type: Element.Type = Element.self) throws -> [Element] {
        guard Element.dtype == dtype else {
            throw TorchError(
                kind: .invalid, operation: "values", arguments: ["\(shape) \(dtype)"],
                message: "asked for \(Element.dtype)")
        }
        let count = count
        if count == 0 { return [] }
        var error = ct_error()
        let result = [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
            let code = ct_read_bytes(handle, buffer.baseAddress, count * MemoryLayout<Element>.stride, &error)
            initialized = code == 0 ? count : 0
        }
        if error.code != 0 { throw TorchError("values", [self], &error) }
        return result
    }

    /// The elements as 32-bit floats, whatever their type.
    public func floats() throws -> [Float] { try to(.cpu).to(.float32).values() }

    /// The elements as 64-bit floats, whatever their type.
    public func doubles() throws -> [Double] { try to(.cpu).to(.float64).values() }

    /// The elements as integers, whatever their type.
    public func integers() throws -> [Int] { try to(.cpu).to(.int64).values() }

    /// The raw little-endian elements in row-major order.
    public func bytes() throws -> Data {
        var data = Data(count: byteCount)
        let count = data.count
        if count == 0 { return data }
        try data.withUnsafeMutableBytes { buffer in
            try run("bytes", [self]) { ct_read_bytes(handle, buffer.baseAddress, count, $0) }
        }
        return data
    }

    /// The one element of a one-element tensor.
    public func item() throws -> Double {
        var error = ct_error()
        let value = ct_item(handle, &error)
        if error.code != 0 { throw TorchError("item", [self], &error) }
        return value
    }

    /// The same values in another type; itself when the type is the same.
    public func to(_ dtype: DType) throws -> Tensor {
        dtype == self.dtype ? self : try produce("to", [self]) { ct_to_dtype(handle, dtype.rawValue, $0) }
    }

    /// The same values on another device; itself when the device is the same.
    public func to(_ device: Device, nonBlocking: Bool = false) throws -> Tensor {
        device == self.device ? self : try produce("to", [self]) { ct_to_device(handle, device.raw, nonBlocking, $0) }
    }

    /// The same values on another device, copied beside what that is computing, and there when this returns; itself when
    /// the device is the same. For threads other than the one that gives the device its work.
    public func fetched(to device: Device) throws -> Tensor {
        if device == self.device { return self }
        guard self.device == .cpu else { return try to(device) }
        return try produce("fetch", [self]) { ct_fetch(handle, device.raw, $0) }
    }

    public func clone() throws -> Tensor { try produce("clone", [self]) { ct_clone(handle, $0) } }

    public func contiguous() throws -> Tensor {
        isContiguous ? self : try produce("contiguous", [self]) { ct_contiguous(handle, $0) }
    }

    /// Overwrites this tensor's elements.
    public func copy(from source: Tensor) throws {
        try run("copy", [self, source]) { ct_copy_(handle, source.handle, $0) }
    }

    public func fill(_ value: Double) throws { try run("fill", [self]) { ct_fill_(handle, value, $0) } }
}
