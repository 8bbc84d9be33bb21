internal import Foundation
internal import Media
public import Torch

/// Chooses tokens from scores, by the rules of the reference library and in its order: repetition penalty, temperature,
/// top-k, top-p, draw. Its choices depend on the options' seed and the scores only.
public struct Sampler {
    public let options: SamplingOptions
    private var generator: SeededGenerator
    private var seen: Set<Int32>

    /// - Parameter prompt: ids that count as having occurred.
    public init(_ options: SamplingOptions, prompt: some Sequence<Int32>) throws {
        try options.validate()
        self.options = options
        generator = SeededGenerator(seed: options.seed)
        seen = options.repetitionPenalty == 1 ? [] : Set(prompt)
    }

    /// The next token for scores `[vocabulary]`.
    public mutating func next(_ logits: Tensor, step: Int) throws -> Int32 {
        try next(scores: logits.to(.float32).to(.cpu).values(), step: step)
    }

    /// The next token for the score of each; -inf rules a token out.
    public mutating func next(scores: [Float], step: Int) throws -> Int32 {
        let choice = try choose(scores, step: step)
        if options.repetitionPenalty != 1 { seen.insert(choice) }
        return choice
    }

    private mutating func choose(_ logits: [Float], step: Int) throws -> Int32 {
        var scores = logits
        let penalty = Float(options.repetitionPenalty)
        for id in seen where scores.indices.contains(Int(id)) {
            scores[Int(id)] = scores[Int(id)] < 0 ? scores[Int(id)] * penalty : scores[Int(id)] / penalty
        }
        var best = 0
        var hasNaN = false
        for index in scores.indices {
            hasNaN = hasNaN || scores[index].isNaN
            if scores[index] > scores[best] { best = index }
        }
        // -inf rules a token out; anything else that is no number is the model's fault.
        guard !scores.isEmpty, !hasNaN, scores[best].isFinite else { throw GenerationError.notFinite(step: step) }
        if options.temperature == 0 || options.topK == 1 { return Int32(best) }

        // Candidates, likeliest first; equal ones by id, so that the choice does not depend on a sort's whims.
        let temperature = Float(options.temperature)
        var order = Array(scores.indices)
        if let topK = options.topK, topK > 0, topK < order.count {
            order.sort { (scores[$0], $1) > (scores[$1], $0) }
            order.removeLast(order.count - topK)
        } else if options.topP < 1 {
            order.sort { (scores[$0], $1) > (scores[$1], $0) }
        }
        let top = Double(scores[best] / temperature)
        var weights = order.map { exp(Double(scores[$0] / temperature) - top) }
        if options.topP < 1 {
            let total = weights.reduce(0, +)
            var sum = 0.0
            // The token that crosses the limit still counts.
            let kept = weights.firstIndex { weight in
                sum += weight
                return sum >= options.topP * total
            }
            if let kept { weights.removeLast(weights.count - kept - 1) }
        }
        let target = generator.uniform() * weights.reduce(0, +)
        var sum = 0.0
        for (index, weight) in weights.enumerated() {
            sum += weight
            if target < sum { return Int32(order[index]) }
        }
        return Int32(order[weights.count - 1])
    }
}
