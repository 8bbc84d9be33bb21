/// What a benchmark measured, in the form that `Benchmarks/peers` prints too.
public struct BenchReport: Sendable, Codable {
    public struct Limits: Sendable, Codable {
        /// GB/s that all threads together read from memory.
        public var memoryRead: Double
        /// GFLOP/s of matrix products in bf16.
        public var matmul: Double

        enum CodingKeys: String, CodingKey {
            case memoryRead = "memory_read"
            case matmul
        }

        func best(_ other: Limits) -> Limits {
            Limits(memoryRead: max(memoryRead, other.memoryRead), matmul: max(matmul, other.matmul))
        }
    }

    public struct Row: Sendable, Codable {
        public var name: String
        public var unit: String
        /// `higher` or `lower`.
        public var better: String
        public var best: Double
        public var median: Double
        public var runs: [Double]
        /// What the machine's limits allow.
        public var limit: Double
        /// How much of it the best run reached; 1 is perfect.
        public var share: Double

        init(_ name: String, unit: String, runs: [Double], limit: Double, lowerIsBetter: Bool = false) {
            self.name = name
            self.unit = unit
            self.runs = runs
            self.limit = limit
            let sorted = runs.sorted()
            better = lowerIsBetter ? "lower" : "higher"
            best = (lowerIsBetter ? sorted.first : sorted.last) ?? 0
            median = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
            share = lowerIsBetter ? limit / max(best, .leastNormalMagnitude) : best / limit
        }
    }

    public var program: String
    public var config: String
    public var dtype: String
    public var device: String
    public var threads: Int
    public var limits: Limits
    public var rows: [Row]
}
