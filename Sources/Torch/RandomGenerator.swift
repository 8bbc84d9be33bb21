internal import CTorch

/// The engine's random numbers from a seed, independent of every other generator.
public final class RandomGenerator: @unchecked Sendable {
    private let handle: OpaquePointer
    public let device: Device

    public init(seed: UInt64, device: Device = .cpu) throws {
        var error = ct_error()
        guard let handle = ct_generator_create(seed, device.raw, &error) else {
            throw TorchError("generator", [], &error)
        }
        self.handle = handle
        self.device = device
    }

    deinit { ct_generator_release(handle) }

    /// Everything that the next numbers depend on, as bytes.
    public func state() throws -> Tensor { try produce("generator state", []) { ct_generator_state(handle, $0) } }

    public func setState(_ state: Tensor) throws {
        try run("generator state", [state]) { ct_generator_set_state(handle, state.handle, $0) }
    }

    /// Overwrites `tensor` with normally distributed numbers.
    public func normal(_ tensor: Tensor, mean: Double = 0, standardDeviation: Double = 1) throws {
        try run("normal_", [tensor]) { ct_normal_(tensor.handle, mean, standardDeviation, handle, $0) }
    }

    /// Overwrites `tensor` with uniformly distributed numbers.
    public func uniform(_ tensor: Tensor, _ range: Range<Double> = 0..<1) throws {
        try run("uniform_", [tensor]) { ct_uniform_(tensor.handle, range.lowerBound, range.upperBound, handle, $0) }
    }

    public func normal(_ shape: [Int], dtype: DType = .float32) throws -> Tensor {
        let tensor = try Tensor.empty(shape, dtype: dtype, device: device)
        try normal(tensor)
        return tensor
    }

    public func uniform(_ shape: [Int], dtype: DType = .float32) throws -> Tensor {
        let tensor = try Tensor.empty(shape, dtype: dtype, device: device)
        try uniform(tensor)
        return tensor
    }

    /// Draws `count` different positions with the given probabilities (`[n]` or `[rows, n]`).
    public func multinomial(_ probabilities: Tensor, count: Int = 1) throws -> Tensor {
        try produce("multinomial", [probabilities]) { ct_multinomial(probabilities.handle, Int64(count), handle, $0) }
    }

    public func permutation(_ count: Int) throws -> Tensor {
        try produce("randperm", []) { ct_random_permutation(Int64(count), handle, $0) }
    }
}
