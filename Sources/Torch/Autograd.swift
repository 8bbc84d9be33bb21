internal import CTorch
internal import Foundation

extension Tensor {
    /// Whether operations on this tensor are recorded.
    public var requiresGradient: Bool { ct_requires_grad(handle) }

    /// Starts or stops recording on this leaf.
    public func setRequiresGradient(_ value: Bool) throws {
        try run("requires_grad", [self]) { ct_set_requires_grad(handle, value, $0) }
    }

    /// Whether this tensor was not made by a recorded operation.
    public var isLeaf: Bool { ct_is_leaf(handle) }

    /// What backward passes have added up so far, if any.
    public var gradient: Tensor? { ct_grad(handle).map { Tensor(owning: $0) } }

    public func setGradient(_ gradient: Tensor?) throws {
        try run("grad", [self]) { ct_set_grad(handle, gradient?.handle, $0) }
    }

    /// The same memory without history.
    public func detach() throws -> Tensor { try produce("detach", [self]) { ct_detach(handle, $0) } }

    /// Adds the gradient of this tensor (times `gradient`; one for scalars) to the leaves'.
    public func backward(_ gradient: Tensor? = nil, retainGraph: Bool = false) throws {
        try ThrownInPass.rethrown {
            try run("backward", [self]) { error in
                withHandles([self]) { tensors, count in
                    guard let gradient else { return ct_backward(tensors, nil, count, retainGraph, error) }
                    return withHandles([gradient]) { gradients, _ in
                        ct_backward(tensors, gradients, count, retainGraph, error)
                    }
                }
            }
        }
    }

    /// The gradients of `outputs · outputGradients` for `inputs` alone, without touching the leaves'; nil where an
    /// input has no part.
    public static func gradients(
        of outputs: [Tensor], weightedBy outputGradients: [Tensor], for inputs: [Tensor], retainGraph: Bool = false
    ) throws -> [Tensor?] {
        precondition(outputs.count == outputGradients.count)
        var results = [OpaquePointer?](repeating: nil, count: inputs.count)
        try ThrownInPass.rethrown {
            try run("gradients", outputs) { error in
                withHandles(outputs) { outputs, count in
                    withHandles(outputGradients) { gradients, _ in
                        withHandles(inputs) { inputs, inputCount in
                            ct_gradients(outputs, gradients, count, inputs, inputCount, retainGraph, &results, error)
                        }
                    }
                }
            }
        }
        return results.map { $0.map { Tensor(owning: $0) } }
    }
}

/// Runs `body` without recording. Synchronous on purpose: the mode belongs to the thread, and after an `await` another
/// thread may go on.
public func withoutGradient<Result>(_ body: () throws -> Result) rethrows -> Result {
    let former = ct_set_grad_enabled(false)
    defer { _ = ct_set_grad_enabled(former) }
    return try body()
}

/// Runs `body` with recording, also inside `withoutGradient` or a custom backward.
public func withGradient<Result>(_ body: () throws -> Result) rethrows -> Result {
    let former = ct_set_grad_enabled(true)
    defer { _ = ct_set_grad_enabled(former) }
    return try body()
}

/// Whether this thread records.
public var isGradientEnabled: Bool { ct_is_grad_enabled() }

/// What a custom backward threw, on its way through the engine, which knows no Swift errors. Passes go back on the thread
/// that asked for them.
private final class ThrownInPass: @unchecked Sendable {
    @TaskLocal static var current: ThrownInPass?
    var error: (any Error)?

    static func rethrown(_ pass: () throws -> Void) throws {
        let thrown = ThrownInPass()
        do { try $current.withValue(thrown, operation: pass) } catch { throw thrown.error ?? error }
    }
}

/// What a custom function remembers between forward and backward.
private final class BackwardClosure {
    let body: ([Tensor?]) throws -> [Tensor?]
    init(_ body: @escaping ([Tensor?]) throws -> [Tensor?]) { self.body = body }
}

/// A differentiable function whose backward is written by hand.
///
/// `forward` runs without recording. `backward` gets the gradients of the outputs (nil where an output was not used)
/// and gives one for each of `inputs` (nil where there is none); it runs without recording too, and may use
/// `withGradient` to compute something again, as activation checkpointing does. What it captures is freed behind it.
///
/// - Parameter isLeaf: whether the outputs are leaves to all that is computed with them. Then `backward` runs as soon as
///   its gradients are there, before anything else that is ready, and several passes may go back through it. Otherwise
///   functions go back in the opposite order of their calls, and once.
/// - Throws: what `forward` throws; and the pass that goes back what `backward` throws.
public func customFunction(
    inputs: [Tensor], isLeaf: Bool = false, forward: () throws -> [Tensor],
    backward: @escaping ([Tensor?]) throws -> [Tensor?]
) throws -> [Tensor] {
    let outputs = try withoutGradient(forward)
    guard isGradientEnabled, inputs.contains(where: \.requiresGradient) else { return outputs }
    let context = Unmanaged.passRetained(BackwardClosure(backward)).toOpaque()
    var results = [OpaquePointer?](repeating: nil, count: outputs.count)
    try run("custom function", inputs) { error in
        withHandles(inputs) { inputs, inputCount in
            withHandles(outputs) { outputs, outputCount in
                ct_attach_backward(
                    inputs, inputCount, outputs, outputCount, context, runBackward,
                    { pointer in
                        if let pointer { Unmanaged<BackwardClosure>.fromOpaque(pointer).release() }
                    }, isLeaf, &results, error)
            }
        }
    }
    return results.compactMap { $0.map { Tensor(owning: $0) } }
}

private func runBackward(
    context: UnsafeMutableRawPointer?, outputGradients: UnsafePointer<OpaquePointer?>?, outputCount: Int32,
    inputGradients: UnsafeMutablePointer<OpaquePointer?>?, inputCount: Int32,
    message: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
    guard let context, let outputGradients, let inputGradients else { return Int32(CT_ERROR) }
    let closure = Unmanaged<BackwardClosure>.fromOpaque(context).takeUnretainedValue()
    let given: [Tensor?] = (0..<Int(outputCount)).map { index in
        guard let handle = outputGradients[index] else { return nil }
        ct_retain(handle)
        return Tensor(owning: handle)
    }
    do {
        let results = try closure.body(given)
        guard results.count == Int(inputCount) else {
            message?.pointee = strdup("a custom backward gave \(results.count) gradients for \(inputCount) inputs")
            return Int32(CT_ERROR)
        }
        for (index, result) in results.enumerated() {
            guard let result else { continue }
            ct_retain(result.handle)
            inputGradients[index] = result.handle
        }
        return 0
    } catch {
        ThrownInPass.current?.error = error
        message?.pointee = strdup("\(error)")
        let isFull = (error as? TorchError)?.kind == .outOfMemory
        return Int32(isFull ? CT_OUT_OF_MEMORY : CT_CALLBACK_FAILED)
    }
}
