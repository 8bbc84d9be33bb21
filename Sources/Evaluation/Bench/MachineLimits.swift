import Inference
import Torch
import Training

extension BenchReport.Limits {
    /// Measures what the machine allows now: reading 1 GiB, and products of bf16 matrices of 2,048 and 4,096 a side
    /// (8,192 on GPUs).
    static func measure(_ device: Device = .cpu) throws -> BenchReport.Limits {
        let numbers = try Tensor.ones([1 << 28], device: device)
        var read = 0.0
        for _ in 0..<5 {
            for action in [{ try numbers.sum() }, { try numbers.amax() }] {
                read = max(read, Double(numbers.byteCount) / (try seconds(on: device) { _ = try action() }) / 1e9)
            }
        }
        let rate = try max(
            MatrixSpeed.best(.bfloat16, side: 2048, times: 8, device: device),
            MatrixSpeed.best(.bfloat16, side: device == .cpu ? 4096 : 8192, times: 3, device: device))
        return BenchReport.Limits(memoryRead: read, matmul: rate / 1e9)
    }
}

/// Seconds that `body` takes.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start).seconds
}

/// The same of work that a device may finish later.
func seconds(on device: Device, _ body: () throws -> Void) throws -> Double {
    try Engine.synchronize(device)
    return try seconds {
        try body()
        try Engine.synchronize(device)
    }
}
