public import Models

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Hashable {
    /// 0 takes the likeliest token.
    public var temperature: Double
    /// Considers the `topK` likeliest tokens only; nil or 0 considers all.
    public var topK: Int?
    /// Considers the likeliest tokens that together hold this share of the probability.
    public var topP: Double
    /// Divides (positive) or multiplies (negative) the scores of tokens that occurred before.
    public var repetitionPenalty: Double
    public var seed: UInt64

    public init(
        temperature: Double = 0, topK: Int? = nil, topP: Double = 1, repetitionPenalty: Double = 1, seed: UInt64 = 0
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
    }

    public static let greedy = SamplingOptions()

    /// What a checkpoint's publisher recommends.
    public init(_ defaults: GenerationDefaults, seed: UInt64 = 0) {
        self.init(
            temperature: defaults.samples ? defaults.temperature : 0, topK: defaults.topK, topP: defaults.topP,
            repetitionPenalty: defaults.repetitionPenalty, seed: seed)
    }

    /// Throws `GenerationError.option` for numbers that mean nothing.
    public func validate() throws {
        func check(_ holds: Bool, _ name: String, _ rule: String) throws {
            if !holds { throw GenerationError.option(name: name, rule: rule) }
        }
        try check(temperature.isFinite && (0...100).contains(temperature), "temperature", "must be from 0 to 100")
        try check(topP.isFinite && topP > 0 && topP <= 1, "top-p", "must be above 0 and at most 1")
        try check((topK ?? 0) >= 0, "top-k", "must not be negative")
        try check(
            repetitionPenalty.isFinite && repetitionPenalty > 0 && repetitionPenalty <= 100, "repetition penalty",
            "must be above 0 and at most 100")
    }
}

public enum GenerationError: Error, Sendable, Hashable, CustomStringConvertible {
    case option(name: String, rule: String)
    /// The model gave scores that are not numbers.
    case notFinite(step: Int)

    public var description: String {
        switch self {
        case .option(let name, let rule): "\(name) \(rule)"
        case .notFinite(let step):
            "the model's scores for token \(step) are not finite; try another dtype, or check the weights"
        }
    }
}
