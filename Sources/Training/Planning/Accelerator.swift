/// A device to train on, by its published numbers.
public struct Accelerator: Sendable, Equatable, Codable {
    public var name: String
    /// Bytes of memory, as the maker counts them.
    public var memory: Int
    /// Dense bf16 operations a second.
    public var peak: Double
    /// Dollars an hour as rented by the hour in 2025; they vary by a factor of two.
    public var price: Double

    public static let all: [Accelerator] = [
        .init(name: "b200", memory: 180 << 30, peak: 2250e12, price: 5.5),
        .init(name: "h200", memory: 141_000_000_000, peak: 989e12, price: 3.5),
        .init(name: "h100", memory: 80 << 30, peak: 989e12, price: 2.5),
        .init(name: "a100", memory: 80 << 30, peak: 312e12, price: 1.6),
        .init(name: "a100-40", memory: 40 << 30, peak: 312e12, price: 1.2),
        .init(name: "l40s", memory: 48 << 30, peak: 362e12, price: 1.0),
        .init(name: "rtx4090", memory: 24 << 30, peak: 165e12, price: 0.4),
        .init(name: "v100", memory: 32 << 30, peak: 125e12, price: 0.6),
        .init(name: "tpu-v4", memory: 32 << 30, peak: 275e12, price: 3.2),
    ]

    public static func named(_ name: String) -> Accelerator? { all.first { $0.name == name.lowercased() } }
}
