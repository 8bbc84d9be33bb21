import Goldens
import Models
import NN
import Torch
import Training

/// One AdamW step over all parameters: loss, gradient norms, the parameters behind it, and the loss behind it.
struct TrainingStepVerifier {
    let model: VisionLanguageModel
    let golden: GoldenJSON
    let name: String

    func verify(_ sequence: ProcessedSequence, _ report: inout VerifyReport) throws {
        let parameters = model.store.parameters
        for parameter in parameters where !parameter.isConstant { try parameter.tensor.setRequiresGradient(true) }
        let tolerance = golden["tolerance"]
        let lossTolerance = tolerance["loss_rel"].double ?? 2e-5
        let before = try loss(sequence)
        try add("loss", before, relative: lossTolerance, &report)
        try before.backward()

        let normTolerance = tolerance["grad_l2_rel"].double ?? 5e-4, floor = tolerance["grad_l2_abs"].double ?? 1e-6
        for parameter in parameters {
            let expected = golden["grad_l2"][parameter.name]
            guard let norm = try parameter.tensor.gradient?.norm().item() else {
                report.add("\(name).grad_l2.\(parameter.name)", holds: expected.isNull, "has no gradient")
                continue
            }
            guard let expected = expected.double else {
                report.add("\(name).grad_l2.\(parameter.name)", holds: false, "the golden has none, here is \(norm)")
                continue
            }
            // A true gradient of zero leaves noise, which is compared with the noise that other gradients carry.
            report.add(
                "\(name).grad_l2.\(parameter.name)", norm, expected: expected,
                allowed: max(normTolerance * abs(expected), floor))
        }

        try step(parameters)
        try withoutGradient {
            for parameter in parameters { try verify(parameter, tolerance, &report) }
            try add("loss_after_one_step", loss(sequence), relative: lossTolerance, &report)
        }
    }

    private func loss(_ sequence: ProcessedSequence) throws -> Tensor {
        guard let sum = try model.lossSum([sequence]) else {
            throw GoldenError(file: name, fault: "nothing in the training case is supervised")
        }
        return try sum / Double(sequence.supervisedCount)
    }

    private func add(_ field: String, _ value: Tensor, relative: Double, _ report: inout VerifyReport) throws {
        guard let expected = golden[field].double else { return }
        report.add("\(name).\(field)", try value.item(), expected: expected, allowed: relative * abs(expected))
    }

    private func step(_ parameters: [Parameter]) throws {
        let numbers = golden["adamw"]
        let options = AdamWOptions(
            rate: numbers["lr"].double ?? 1e-3, beta1: numbers["betas"][0].double ?? 0.9,
            beta2: numbers["betas"][1].double ?? 0.999, epsilon: numbers["eps"].double ?? 1e-8,
            weightDecay: numbers["weight_decay"].double ?? 0.01)
        let moved = parameters.filter { $0.tensor.gradient != nil }
        try withoutGradient {
            try adamW(
                parameters: moved.map(\.tensor), gradients: moved.compactMap(\.tensor.gradient),
                firstMoments: moved.map { try Tensor.zeros($0.shape, device: $0.tensor.device) },
                secondMoments: moved.map { try Tensor.zeros($0.shape, device: $0.tensor.device) },
                steps: moved.map { try Tensor.zeros([], device: $0.tensor.device) }, options: options)
        }
    }

    private func verify(_ parameter: Parameter, _ tolerance: GoldenJSON, _ report: inout VerifyReport) throws {
        let expected = golden["params_after_one_step"][parameter.name]
        let allowed = tolerance["param_abs"].double ?? 2e-5
        let values = try parameter.tensor.doubles(), noise = try stepNoise(parameter)
        let measures: [(String, Double, Double)] = [
            ("sum", values.reduce(0, +), allowed * Double(values.count)),
            ("l2", values.reduce(0) { $0 + $1 * $1 }.squareRoot(), allowed * Double(values.count).squareRoot()),
            ("first", values.first ?? 0, allowed + (noise.first ?? 0)),
            ("last", values.last ?? 0, allowed + (noise.last ?? 0)),
        ]
        for (measure, value, allowed) in measures {
            guard let golden = expected[measure].double else { continue }
            report.add("\(name).after_step.\(parameter.name).\(measure)", value, expected: golden, allowed: allowed)
        }
    }

    /// How far rounding may move each value: AdamW's first step is `lr · g / (|g| + eps)`, so where the true gradient is
    /// next to nothing (a key's bias at a low rotary frequency) the noise of its float32 sum decides.
    private func stepNoise(_ parameter: Parameter) throws -> [Double] {
        let numbers = golden["adamw"], rate = numbers["lr"].double ?? 1e-3, epsilon = numbers["eps"].double ?? 1e-8
        guard let gradient = try parameter.tensor.gradient?.doubles() else { return [] }
        let noise = (gradient.map(abs).max() ?? 0) * 1e-6
        func step(_ gradient: Double) -> Double { rate * gradient / (abs(gradient) + epsilon) }
        return gradient.map { step($0 + noise) - step($0 - noise) }
    }
}
