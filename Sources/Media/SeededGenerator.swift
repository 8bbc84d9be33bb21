#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Random numbers that are the same everywhere: xoshiro256** (Blackman and Vigna, 2018) seeded by SplitMix64.
///
/// Swift leaves open how `Int.random(in:using:)` or `shuffled(using:)` consume a generator, so they may change between
/// releases; what has to stay reproducible uses the methods below instead.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    public init(seed: UInt64) {
        var splitMix = seed
        state = (
            Self.splitMix(&splitMix), Self.splitMix(&splitMix), Self.splitMix(&splitMix), Self.splitMix(&splitMix)
        )
    }

    /// The generator numbered `stream` of the family that `seed` names; streams are independent of one another.
    public init(seed: UInt64, stream: UInt64) {
        var first = seed
        let mixed = Self.splitMix(&first)
        var second = mixed ^ (stream &* 0xD134_2543_DE82_EF95 &+ 0x2545_F491_4F6C_DD1D)
        self.init(seed: Self.splitMix(&second))
    }

    private static func splitMix(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    public mutating func next() -> UInt64 {
        let result = rotate(state.1 &* 5, 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotate(state.3, 45)
        return result
    }

    private func rotate(_ word: UInt64, _ count: UInt64) -> UInt64 { (word << count) | (word >> (64 - count)) }

    /// Uniform in [0, 1), with 53 random bits.
    public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    public mutating func uniform(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
    }

    /// Uniform over the range, without bias (Lemire's multiplication with rejection).
    public mutating func integer(_ range: ClosedRange<Int>) -> Int {
        let span = UInt64(bitPattern: Int64(range.upperBound &- range.lowerBound)) &+ 1
        guard span != 0 else { return Int(truncatingIfNeeded: next()) }
        var product = next().multipliedFullWidth(by: span)
        if product.low < span {
            let threshold = (0 &- span) % span
            while product.low < threshold { product = next().multipliedFullWidth(by: span) }
        }
        return range.lowerBound &+ Int(truncatingIfNeeded: product.high)
    }

    /// True with the given probability.
    public mutating func chance(_ probability: Double) -> Bool { uniform() < probability }

    /// Standard normal, by Box and Muller.
    public mutating func normal() -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return radius * cos(2 * Double.pi * uniform())
    }

    /// One of `choices`, which must not be empty.
    public mutating func element<Choices: RandomAccessCollection>(of choices: Choices) -> Choices.Element {
        precondition(!choices.isEmpty, "nothing to choose from")
        return choices[choices.index(choices.startIndex, offsetBy: integer(0...choices.count - 1))]
    }

    /// An index into `weights`, drawn with probability proportional to the weight; the sum must be positive.
    public mutating func index(weights: [Double]) -> Int {
        let total = weights.reduce(0, +)
        precondition(total > 0, "weights sum to nothing")
        var rest = uniform() * total
        for (index, weight) in weights.enumerated() where weight > 0 {
            rest -= weight
            if rest < 0 { return index }
        }
        return weights.lastIndex { $0 > 0 } ?? 0
    }

    /// A random order (Fisher and Yates).
    public mutating func shuffled<Element>(_ elements: some Sequence<Element>) -> [Element] {
        var result = Array(elements)
        for last in stride(from: result.count - 1, to: 0, by: -1) { result.swapAt(last, integer(0...last)) }
        return result
    }
}
