internal import Foundation

/// The learning rate's course over a stage, as a factor of the stage's rate.
public struct LearningRateSchedule: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
        case constant
        case linear
        /// Half a cosine wave (Loshchilov and Hutter 2017).
        case cosine
        /// Constant, then linear over the last `decaySteps`: warm-up, stable, decay (Hu et al. 2024).
        case wsd
        /// `√(timescale / (step - warm-up + timescale))`, and linear to nothing over the last `decaySteps` (Zhai et al.
        /// 2022, section 3.5; big_vision's `rsqrt`).
        case inverseSquareRoot = "inverse_sqrt"
    }

    public var kind: Kind
    /// Steps over which the rate rises linearly from nothing.
    public var warmupSteps: Int
    /// What is left at the end, as a part of the full rate.
    public var finalRatio: Double
    /// Steps of the last part of `wsd` and `inverseSquareRoot`.
    public var decaySteps: Int
    /// Steps behind the warm-up after which `inverseSquareRoot` has fallen to `1 / √2`.
    public var timescale: Int

    public init(
        kind: Kind, warmupSteps: Int = 0, finalRatio: Double = 0, decaySteps: Int = 0, timescale: Int = 1
    ) {
        self.timescale = timescale
        self.kind = kind
        self.warmupSteps = warmupSteps
        self.finalRatio = finalRatio
        self.decaySteps = decaySteps
    }

    /// The factor for `step` (from 0) of `steps`. Step 0 is already part of the warm-up, so it is never 0.
    public func factor(step: Int, of steps: Int) -> Double {
        if step < warmupSteps { return Double(step + 1) / Double(warmupSteps) }
        func decay(from start: Int) -> Double {
            let length = max(1, steps - start)
            return min(1, max(0, Double(step - start) / Double(length)))
        }
        switch kind {
        case .constant: return 1
        case .linear: return 1 - (1 - finalRatio) * decay(from: warmupSteps)
        case .cosine:
            return finalRatio + (1 - finalRatio) * 0.5 * (1 + cos(.pi * decay(from: warmupSteps)))
        case .wsd:
            let start = max(warmupSteps, steps - decaySteps)
            return step < start ? 1 : 1 - (1 - finalRatio) * decay(from: start)
        case .inverseSquareRoot:
            let fallen = Double(timescale) / Double(step - warmupSteps + timescale)
            return fallen.squareRoot() * (1 - decay(from: max(warmupSteps, steps - decaySteps)))
        }
    }
}
