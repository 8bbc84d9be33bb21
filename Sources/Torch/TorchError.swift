internal import CTorch

/// A failure inside the tensor engine: the operation, the shapes it was given, and the engine's one-line message.
public struct TorchError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// Shapes, types or values that do not fit the operation.
        case invalid
        /// The device or the machine has no memory left for the result.
        case outOfMemory
        /// The device has no kernel for the operation.
        case notImplemented
        /// A Swift closure that ran inside the engine gave what it cannot use.
        case callback
    }

    public let kind: Kind
    public let operation: String
    /// Shape and type of each tensor argument, as in `[2, 3] f32`.
    public let arguments: [String]
    public let message: String

    public init(kind: Kind, operation: String, arguments: [String] = [], message: String) {
        self.kind = kind
        self.operation = operation
        self.arguments = arguments
        self.message = message
    }

    public var description: String {
        let given = arguments.isEmpty ? "" : " of \(arguments.joined(separator: ", "))"
        return kind == .outOfMemory
            ? "out of memory in \(operation)\(given): \(message)" : "\(operation)\(given) failed: \(message)"
    }

    /// Takes the message out of `error` and frees it.
    init(_ operation: StaticString, _ arguments: [Tensor], _ error: inout ct_error) {
        switch error.code {
        case Int32(CT_OUT_OF_MEMORY): kind = .outOfMemory
        case Int32(CT_NOT_IMPLEMENTED): kind = .notImplemented
        case Int32(CT_CALLBACK_FAILED): kind = .callback
        default: kind = .invalid
        }
        self.operation = "\(operation)"
        self.arguments = arguments.map { "\($0.shape) \($0.dtype)" }
        message = error.message.map { String(cString: $0) } ?? "unknown failure"
        ct_error_free(&error)
    }
}

/// Runs an operation that gives one tensor.
@inline(__always)
func produce(
    _ operation: StaticString, _ arguments: @autoclosure () -> [Tensor],
    _ body: (UnsafeMutablePointer<ct_error>) -> OpaquePointer?
) throws -> Tensor {
    var error = ct_error()
    guard let handle = body(&error) else { throw TorchError(operation, arguments(), &error) }
    return Tensor(owning: handle)
}

/// Runs an operation that gives a status.
@inline(__always)
func run(
    _ operation: StaticString, _ arguments: @autoclosure () -> [Tensor],
    _ body: (UnsafeMutablePointer<ct_error>) -> Int32
) throws {
    var error = ct_error()
    if body(&error) != 0 { throw TorchError(operation, arguments(), &error) }
}

/// Calls `body` with the handles of `tensors`, which stay alive meanwhile.
@inline(__always)
func withHandles<Result>(
    _ tensors: [Tensor], _ body: (UnsafePointer<OpaquePointer?>, Int32) throws -> Result
) rethrows -> Result {
    try withExtendedLifetime(tensors) {
        try withUnsafeTemporaryAllocation(of: OpaquePointer?.self, capacity: max(tensors.count, 1)) { buffer in
            for (index, tensor) in tensors.enumerated() { buffer.initializeElement(at: index, to: tensor.handle) }
            guard let base = buffer.baseAddress else { preconditionFailure("an allocation of at least one element") }
            return try body(UnsafePointer(base), Int32(tensors.count))
        }
    }
}

/// Calls `body` with `sizes` as 64-bit numbers.
@inline(__always)
func withSizes<Result>(
    _ sizes: [Int], _ body: (UnsafePointer<Int64>, Int32) throws -> Result
) rethrows -> Result {
    try withUnsafeTemporaryAllocation(of: Int64.self, capacity: max(sizes.count, 1)) { buffer in
        for (index, size) in sizes.enumerated() { buffer.initializeElement(at: index, to: Int64(size)) }
        guard let base = buffer.baseAddress else { preconditionFailure("an allocation of at least one element") }
        return try body(UnsafePointer(base), Int32(sizes.count))
    }
}
