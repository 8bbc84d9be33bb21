public import Torch

/// How fast this machine multiplies matrices, which is the limit that a model's speed is compared with.
public enum MatrixSpeed {
    /// The best rate of a few products of `side × side` matrices, in operations a second; a multiplication and its
    /// addition are two.
    ///
    /// - Parameter times: products of each of the two kinds, with the right matrix as it is and transposed.
    public static func best(_ dtype: DType, side: Int, times: Int, device: Device = .cpu) throws -> Double {
        try withoutGradient {
            let generator = try RandomGenerator(seed: 1)
            let left = try generator.normal([side, side]).to(dtype).to(device)
            let right = try generator.normal([side, side]).to(dtype).to(device)
            try Engine.synchronize(device)
            let operations = 2 * Double(side * side) * Double(side)
            var rate = 0.0
            for _ in 0..<times {
                for product in [{ try left.matmul(right) }, { try left.linear(right) }] {
                    let start = ContinuousClock.now
                    _ = try product()
                    try Engine.synchronize(device)
                    rate = max(rate, operations / max((ContinuousClock.now - start).seconds, 1e-9))
                }
            }
            return rate
        }
    }

    /// The same of all threads that compute at the same time, in a fraction of a second: what a run's own speed is
    /// held against.
    static func quick(_ dtype: DType, threads: WorkerThreads, device: Device) throws -> Double {
        let rates = try threads.map(threads.count) { _ in
            // The first products of a shape also build its kernel; large ones are measured only where that is quick.
            var found = 0.0
            for (side, times, least) in [(512, 4, 0.0), (1024, 3, 0), (2048, 3, 2e11), (8192, 3, 1e13)] {
                if found >= least { found = max(found, try best(dtype, side: side, times: times, device: device)) }
            }
            return found
        }
        return rates.reduce(0, +)
    }
}
