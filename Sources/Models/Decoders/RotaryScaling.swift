internal import Foundation
internal import NN

/// How rotary frequencies change for sequences longer than those of pre-training.
public enum RotaryScaling: Sendable, Hashable {
    case none
    /// All frequencies divided by a factor (Chen et al. 2023).
    case linear(factor: Double)
    /// A base that grows with the length beyond `trainedLength` (`DynamicNTKScalingRotaryEmbedding` of transformers).
    case dynamic(factor: Double, trainedLength: Int)
    /// A base that grows in steps with each doubling beyond `trainedLength` (Qwen-1's dynamic NTK).
    case doubling(trainedLength: Int)
    /// Low frequencies divided, high ones kept, those between interpolated (Llama 3.1).
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, trainedLength: Int)
    /// Each frequency divided by its own factor, of which there is a list for short and one for long sequences; cosines
    /// and sines are multiplied by `magnitude` (Phi-3's `su` and `longrope`).
    case perFrequency(short: [Double], long: [Double], trainedLength: Int, magnitude: Double)

    /// Frequencies for sequences of `length` tokens, `[size / 2]`, in float32 as the references compute them.
    func frequencies(base: Double, size: Int, length: Int) -> [Float] {
        switch self {
        case .none: return inverseFrequencies(base: base, size: size)
        case .linear(let factor): return inverseFrequencies(base: base, size: size).map { $0 / Float(factor) }
        case .dynamic(let factor, let trained):
            guard length > trained else { return inverseFrequencies(base: base, size: size) }
            let growth = factor * Double(length) / Double(trained) - (factor - 1)
            return inverseFrequencies(base: base * pow(growth, Double(size) / Double(size - 2)), size: size)
        case .doubling(let trained):
            let doublings = (log2(Double(max(length, 1)) / Double(trained)) + 1).rounded(.up)
            let alpha = max(exp2(doublings) - 1, 1)
            return inverseFrequencies(base: base * pow(alpha, Double(size) / Double(size - 2)), size: size)
        case .llama3(let factor, let low, let high, let trained):
            return inverseFrequencies(base: base, size: size).map { frequency in
                let turns = Double(trained) * Double(frequency) / (2 * Double.pi)
                if turns < low { return frequency / Float(factor) }
                if turns > high { return frequency }
                let smooth = Float((turns - low) / (high - low))
                return (1 - smooth) * frequency / Float(factor) + smooth * frequency
            }
        case .perFrequency(let short, let long, let trained, _):
            let factors = length > trained ? long : short
            return zip(inverseFrequencies(base: base, size: size), factors).map { $0 / Float($1) }
        }
    }

    /// What cosines and sines are multiplied by.
    var magnitude: Double {
        if case .perFrequency(_, _, _, let magnitude) = self { return magnitude }
        return 1
    }

    /// Whether the frequencies depend on the length.
    var dependsOnLength: Bool {
        switch self {
        case .none, .linear, .llama3: false
        case .dynamic, .doubling, .perFrequency: true
        }
    }
}
