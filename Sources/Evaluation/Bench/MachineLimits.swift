import Inference
import Torch

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
        let generator = try RandomGenerator(seed: 1)
        var rate = 0.0
        for (side, times) in [(2048, 8), (4096, 3)] {
            let left = try generator.normal([side, side]).to(.bfloat16)
            let right = try generator.normal([side, side]).to(.bfloat16)
            let operations = 2 * Double(side * side) * Double(side)
            for _ in 0..<times {
                rate = max(rate, operations / (try seconds { _ = try left.matmul(right) }) / 1e9)
                rate = max(rate, operations / (try seconds { _ = try left.linear(right) }) / 1e9)
            }
        }
        return BenchReport.Limits(memoryRead: read, matmul: rate)
    }
}

/// Seconds that `body` takes.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start).seconds
}
