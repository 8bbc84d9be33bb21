public import Torch

/// Runs `body` without keeping what its backward pass needs, and runs it again when gradients are asked for (Chen et al.
/// 2016): a block costs its input in memory, and a second forward pass in time.
///
/// Dropout draws the same numbers again, so that results and gradients are those of a plain call.
///
/// - Parameters:
///   - inputs: everything that `body` reads and gradients may flow to, but for parameters.
///   - parameters: those that `body` reads; adapters beside them are found.
public func recomputed(
    _ inputs: [Tensor], _ parameters: [Parameter], _ body: @escaping ([Tensor]) throws -> [Tensor]
) throws -> [Tensor] {
    guard isGradientEnabled else { return try body(inputs) }
    let learned = parameters.flatMap(\.learned), generator = DropoutRandom.generator
    let state = try generator?.state()
    func fresh() throws -> [Tensor] {
        try inputs.map { input in
            let copy = try input.detach()
            if input.requiresGradient { try copy.setRequiresGradient(true) }
            return copy
        }
    }
    return try customFunction(inputs: inputs + learned) {
        // Recorded, and forgotten at once: without recording, other kernels would run, which round otherwise.
        try withGradient { try body(fresh()) }.map { try $0.detach() }
    } backward: { gradients in
        let copies = try fresh()
        var again: RandomGenerator?
        if let generator, let state {
            let made = try RandomGenerator(seed: 0, device: generator.device)
            try made.setState(state)
            again = made
        }
        let outputs = try DropoutRandom.$generator.withValue(again) { try withGradient { try body(copies) } }
        let reached = zip(outputs, gradients).compactMap { output, gradient in
            output.requiresGradient ? gradient.map { (output, $0) } : nil
        }
        let all = copies + learned
        let wanted = all.indices.filter { all[$0].requiresGradient }
        var results = [Tensor?](repeating: nil, count: all.count)
        guard !reached.isEmpty, !wanted.isEmpty else { return results }
        let found = try Tensor.gradients(
            of: reached.map(\.0), weightedBy: reached.map(\.1), for: wanted.map { all[$0] })
        for (index, gradient) in zip(wanted, found) { results[index] = gradient }
        return results
    }
}

extension Parameter {
    /// The tensors that learn: its own, and those of its adapter.
    public var learned: [Tensor] {
        ([tensor] + (adapter.map { [$0.down.tensor, $0.up.tensor] } ?? [])).filter(\.requiresGradient)
    }
}

extension ParameterScope {
    /// All parameters asked for so far whose names start with this prefix.
    public var parameters: [Parameter] { store.parameters.filter { $0.name.hasPrefix(prefix) } }
}
