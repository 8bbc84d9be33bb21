internal import Foundation
public import Media

/// NaViT's sampling of resolutions: which size a picture is seen at while the encoder learns (Dehghani et al. 2023,
/// section 2.2 and appendix B).
public struct ResolutionSampling: Sendable, Hashable {
    public enum Distribution: Sendable, Hashable {
        case uniform
        /// A normal distribution on -1...1, cut off there, stretched over the sides. The paper's best for contrastive
        /// learning has mean -0.5 and deviation 1.
        case truncatedNormal(mean: Double, deviation: Double)
    }

    /// Sides of a square with as many pixels as the picture shall have.
    public var sides: ClosedRange<Double>
    public var distribution: Distribution

    public init(sides: ClosedRange<Double> = 64...256, distribution: Distribution = .uniform) {
        self.sides = sides
        self.distribution = distribution
    }

    /// One side.
    public func side(_ generator: inout SeededGenerator) -> Double {
        switch distribution {
        case .uniform: return generator.uniform(sides)
        case .truncatedNormal(let mean, let deviation):
            // Nearly all draws lie within; an impossible distribution ends in its middle.
            for _ in 0..<1000 {
                let draw = mean + deviation * generator.normal()
                if -1...1 ~= draw {
                    return sides.lowerBound + (draw + 1) / 2 * (sides.upperBound - sides.lowerBound)
                }
            }
            return (sides.lowerBound + sides.upperBound) / 2
        }
    }

    /// The grid of a picture whose area is to be `side²`: its shape kept, both sides rounded to whole patches, at least
    /// one of each; rounded down where the budget of patches would be passed.
    ///
    /// - Throws: `ProcessingError.imageSize` for a picture without pixels, or so thin that the budget cannot hold it.
    public static func grid(width: Int, height: Int, side: Double, patchSize: Int, budget: Int = .max) throws
        -> PatchGrid
    {
        guard width > 0, height > 0, max(width, height) <= 1 << 20 else {
            throw ProcessingError.imageSize(width: width, height: height, reason: "its size is not that of a picture")
        }
        let scale = side / (Double(width) * Double(height)).squareRoot()
        func patches(_ length: Int, _ rule: FloatingPointRoundingRule) -> Int {
            max(1, Int((Double(length) * scale / Double(patchSize)).rounded(rule)))
        }
        for rule in [FloatingPointRoundingRule.toNearestOrAwayFromZero, .down] {
            let grid = PatchGrid(time: 1, height: patches(height, rule), width: patches(width, rule))
            if grid.count <= budget { return grid }
        }
        throw ProcessingError.imageSize(
            width: width, height: height, reason: "at a side of \(side) it has more than \(budget) patches")
    }
}

/// How many patches of a picture NaViT leaves out while it learns (section 2.2, "continuous token dropping").
public enum TokenDropping: Sendable, Hashable {
    case constant(Double)
    /// A share between 0 and `maximum` of mean `mean`, drawn for each picture from a beta distribution whose variance is
    /// 0.3 of the largest that its mean allows.
    case beta(mean: Double, maximum: Double)
    /// A share that changes over the pictures seen: from `first` to `last` along a sigmoid around `middle`.
    case schedule(first: Double, last: Double, middle: Double, scale: Double)

    /// The share to leave out of one picture.
    public func rate(pictures seen: Int = 0, _ generator: inout SeededGenerator) -> Double {
        switch self {
        case .constant(let rate): return rate
        case .beta(let mean, let maximum):
            let (a, b) = Self.betaParameters(mean: mean, maximum: maximum)
            return maximum * generator.beta(a, b)
        case .schedule(let first, let last, let middle, let scale):
            return first + (last - first) / (1 + exp(-(Double(seen) - middle) / scale))
        }
    }

    /// With variance 0.3·u·(1 - u) the parameters add up to 1/0.3 - 1.
    static func betaParameters(mean: Double, maximum: Double) -> (a: Double, b: Double) {
        let share = mean / maximum, total = 1 / 0.3 - 1
        return (share * total, (1 - share) * total)
    }

    /// The places of a picture to keep, ascending: at least one.
    public func kept(of count: Int, pictures seen: Int = 0, _ generator: inout SeededGenerator) -> [Int] {
        let rate = min(max(rate(pictures: seen, &generator), 0), 1)
        let keep = max(1, Int((Double(count) * (1 - rate)).rounded(.down)))
        return generator.shuffled(0..<count).prefix(keep).sorted()
    }
}

/// Greedy first-fit packing (NaViT, appendix B.3): each example goes into the first sequence with room for it.
public func firstFit(_ lengths: [Int], capacity: Int) throws -> [[Int]] {
    var bins: [(room: Int, members: [Int])] = []
    for (index, length) in lengths.enumerated() {
        guard length <= capacity else {
            throw ProcessingError.contextLength(tokens: length, limit: capacity)
        }
        if let place = bins.firstIndex(where: { $0.room >= length }) {
            bins[place].room -= length
            bins[place].members.append(index)
        } else {
            bins.append((capacity - length, [index]))
        }
    }
    return bins.map(\.members)
}

extension SeededGenerator {
    /// A draw from a beta distribution, by two gamma draws.
    fileprivate mutating func beta(_ a: Double, _ b: Double) -> Double {
        guard a > 0 else { return 0 }
        guard b > 0 else { return 1 }
        let first = gamma(a), second = gamma(b)
        return first + second > 0 ? first / (first + second) : a / (a + b)
    }

    /// Marsaglia and Tsang (2000), with their boost for shapes below 1.
    private mutating func gamma(_ shape: Double) -> Double {
        if shape < 1 { return gamma(shape + 1) * pow(max(uniform(), .leastNormalMagnitude), 1 / shape) }
        let d = shape - 1 / 3, c = 1 / (9 * d).squareRoot()
        while true {
            let x = normal(), v = pow(1 + c * x, 3)
            guard v > 0 else { continue }
            if log(max(uniform(), .leastNormalMagnitude)) < 0.5 * x * x + d - d * v + d * log(v) { return d * v }
        }
    }
}
