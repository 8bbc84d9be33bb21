/// The losses of the latest steps, by which a spike is told from noise (as llm.c's outlier detector does it).
public struct LossHistory: Codable, Sendable, Equatable {
    private var losses: [Double] = []

    /// Steps that are looked back at, and those that must be there before anything counts as a spike.
    private static let length = 64
    private static let least = 16

    public init() {}

    mutating func add(_ loss: Double) {
        losses.append(loss)
        if losses.count > Self.length { losses.removeFirst() }
    }

    /// The highest loss that lies within `deviations` standard deviations of the mean; nil while too little is known.
    func limit(_ deviations: Double) -> Double? {
        guard losses.count >= Self.least else { return nil }
        let count = Double(losses.count), mean = losses.reduce(0, +) / count
        let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
        // Where all losses are alike, any other would be a spike.
        return mean + deviations * max(variance.squareRoot(), 0.01 * mean.magnitude)
    }
}
