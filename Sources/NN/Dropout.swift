public import Torch

/// Where dropout's random numbers come from in this pass. Without one nothing is dropped: answering never is random.
public enum DropoutRandom {
    @TaskLocal public static var generator: RandomGenerator?
}

extension Tensor {
    /// Zeros in the place of a `part` of the elements, the others scaled up to keep the mean.
    ///
    /// - Parameter columns: of several ranks that have some columns each, the own ones and how many there are: each leaves
    ///   out what one with all of them would.
    func droppingOut(_ part: Double, columns: (own: [Range<Int>], count: Int)? = nil) throws -> Tensor {
        guard part > 0, let generator = DropoutRandom.generator else { return self }
        // Drawn on the generator's device, so that a seed means the same choice everywhere.
        var drawn = try generator.uniform(columns.map { shape.dropLast() + [$0.count] } ?? shape)
        if let columns { drawn = try .cat(columns.own.map { try drawn.slice(rank - 1, $0) }, dimension: rank - 1) }
        return try self * drawn.ge(part).to(device).to(dtype) * (1 / (1 - part))
    }

    /// Zeros in the place of a `part` of the segments (`[tokens, …]`, cut along the first dimension), the others scaled up
    /// to keep the mean: a residual branch that a picture or sequence goes around (stochastic depth, Huang et al. 2016).
    public func droppingPath(_ part: Double, of segments: Segments) throws -> Tensor {
        guard part > 0, let generator = DropoutRandom.generator else { return self }
        let drawn = try generator.uniform([segments.count]).floats()
        let kept = zip(drawn, segments.lengths).flatMap { number, length in
            [Float](repeating: number < Float(part) ? 0 : 1, count: length)
        }
        let mask = try Tensor(kept, shape: [kept.count] + [Int](repeating: 1, count: rank - 1))
        return try self * (1 / (1 - part)) * mask.to(device).to(dtype)
    }
}
