internal import Foundation
internal import Torch

/// What a run is, as its log begins with.
public struct RunFacts: Codable, Sendable {
    public var name: String
    /// Steps done before, as after a resume.
    public var step: Int
    public var isResumed: Bool
    /// When it began, in seconds since 1970: the same wherever the clock is read.
    public var time: Double
    public var machine: Machine
    public var parameters: Int
    /// The recipe with all replacements.
    public var recipe: String

    /// What the run computes on and with.
    public struct Machine: Codable, Sendable, Equatable {
        public var processor: String
        public var cores: Int
        /// Bytes.
        public var memory: Int
        public var system: String
        public var libtorch: String
        /// What passes compute on, of rank 0; nil in logs from before there was a choice.
        public var device: String?
        public var precision: String
        /// Processes that train together, micro-batches that each computes at a time, and threads of each of these.
        public var ranks: Int
        public var threads: Int
        public var operationThreads: Int
        /// The best rate of matrix products of all ranks and threads, in operations a second, measured as the run
        /// began.
        public var matrixRate: Double

        init(_ recipe: Recipe, device: Device, ranks: Int, matrixRate: Double) {
            let process = ProcessInfo.processInfo
            processor = Self.processorName
            cores = process.processorCount
            memory = Int(process.physicalMemory)
            system = process.operatingSystemVersionString
            libtorch = Engine.version
            self.device = device.description
            precision = recipe.precision.rawValue
            self.ranks = ranks
            threads = recipe.threads
            operationThreads = recipe.threads > 1 ? 1 : Engine.threads
            self.matrixRate = matrixRate
        }

        /// As the system tells it; `unknown` where it does not.
        private static var processorName: String {
            #if os(Linux)
                let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
                let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
                return line?.split(separator: ":", maxSplits: 1).last?.trimmingCharacters(in: .whitespaces) ?? "unknown"
            #else
                var size = 0
                guard sysctlbyname("machdep.cpu.brand_string", nil, &size, nil, 0) == 0 else { return "unknown" }
                var text = [UInt8](repeating: 0, count: size)
                guard sysctlbyname("machdep.cpu.brand_string", &text, &size, nil, 0) == 0 else { return "unknown" }
                return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
            #endif
        }
    }
}
