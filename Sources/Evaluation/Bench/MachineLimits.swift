import Inference
import Torch
import Training

extension BenchReport.Limits {
    /// Measures what the machine allows now: reading 1 GiB, and products of bf16 matrices of 2,048 and 4,096 a side.
    static func measure() throws -> BenchReport.Limits {
        let numbers = try Tensor.ones([1 << 28])
        var read = 0.0
        for _ in 0..<5 {
            for action in [{ try numbers.sum() }, { try numbers.amax() }] {
                read = max(read, Double(numbers.byteCount) / (try seconds { _ = try action() }) / 1e9)
            }
        }
        let rate = try max(
            MatrixSpeed.best(.bfloat16, side: 2048, times: 8), MatrixSpeed.best(.bfloat16, side: 4096, times: 3))
        return BenchReport.Limits(memoryRead: read, matmul: rate / 1e9)
    }
}

/// Seconds that `body` takes.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start).seconds
}
