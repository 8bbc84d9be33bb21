public import Goldens

/// What came out of comparing one folder of goldens.
public struct VerifyReport: Sendable {
    /// One comparison.
    public struct Line: Sendable, Codable {
        /// Case and tensor, as in `single_image.logits`.
        public var name: String
        public var holds: Bool
        /// The largest difference, where numbers were compared.
        public var difference: Double?
        /// What the largest difference may be.
        public var allowed: Double?
        /// What is wrong, or what was compared.
        public var note: String
    }

    public var folder: String
    /// What the folder was taken for.
    public var kind: String
    public var lines: [Line] = []

    public var holds: Bool { !lines.isEmpty && lines.allSatisfy(\.holds) }

    public init(folder: String, kind: String) {
        self.folder = folder
        self.kind = kind
    }

    public mutating func add(_ report: GoldenReport) {
        lines.append(
            Line(
                name: report.name, holds: report.holds, difference: report.maximumDifference, allowed: report.allowed,
                note: report.faults.joined(separator: "; ")))
    }

    public mutating func add(_ name: String, holds: Bool, _ note: @autoclosure () -> String = "") {
        lines.append(Line(name: name, holds: holds, difference: nil, allowed: nil, note: holds ? "" : note()))
    }

    /// A number within a tolerance that the golden names.
    public mutating func add(_ name: String, _ value: Double, expected: Double, allowed: Double) {
        let difference = abs(value - expected)
        lines.append(
            Line(
                name: name, holds: difference <= allowed, difference: difference, allowed: allowed,
                note: difference <= allowed ? "" : "is \(value), the golden \(expected)"))
    }
}
