public import Torch

/// How fast this machine multiplies matrices, which is the limit that a model's speed is compared with.
public enum MatrixSpeed {
    /// The best rate of a few products of `side × side` matrices, in operations a second; a multiplication and its
    /// addition are two.
    ///
    /// - Parameter times: products of each of the two kinds, with the right matrix as it is and transposed.
    public static func best(_ dtype: DType, side: Int, times: Int) throws -> Double {
        try withoutGradient {
            let generator = try RandomGenerator(seed: 1)
            let left = try generator.normal([side, side]).to(dtype)
            let right = try generator.normal([side, side]).to(dtype)
            let operations = 2 * Double(side * side) * Double(side)
            var rate = 0.0
            for _ in 0..<times {
                for product in [{ try left.matmul(right) }, { try left.linear(right) }] {
                    let start = ContinuousClock.now
                    _ = try product()
                    rate = max(rate, operations / max((ContinuousClock.now - start).seconds, 1e-9))
                }
            }
            return rate
        }
    }

    /// The same of all threads that compute at the same time, in a fraction of a second: what a run's own speed is
    /// held against.
    static func quick(_ dtype: DType, threads: WorkerThreads) throws -> Double {
        let rates = try threads.map(threads.count) { _ in
            // The first products of a shape also build its kernel; large ones are measured only where that is quick.
            let small = max(try best(dtype, side: 512, times: 4), try best(dtype, side: 1024, times: 3))
            return small > 2e11 ? max(small, try best(dtype, side: 2048, times: 3)) : small
        }
        return rates.reduce(0, +)
    }
}
