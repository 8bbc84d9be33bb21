internal import Foundation

/// A learning rate that follows from the model.
public enum LearningRateRule: String, Sendable, CaseIterable {
    /// The fit of MM1 (section 3.3) to the best rates of smaller models: `exp(-0.4214 ln N - 0.5535)` for `N` parameters
    /// of the decoder without embedding and head. Experts count as a single one, as their dense twin's rate is theirs.
    case mm1

    public func rate(decoderParameters count: Int) -> Double {
        switch self {
        case .mm1: exp(-0.4214 * log(Double(max(1, count))) - 0.5535)
        }
    }
}

extension Recipe {
    /// Replaces rules by the rates that follow for the model.
    mutating func resolveRates(_ model: @autoclosure () throws -> ModelOutline) rethrows {
        guard stages.contains(where: { $0.rateRule != nil }) else { return }
        let count = try model().denseDecoderParameters
        for index in stages.indices {
            if let rule = stages[index].rateRule { stages[index].learningRate = rule.rate(decoderParameters: count) }
        }
    }
}
