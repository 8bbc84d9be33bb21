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
    let spread = parameters.first?.spread
    guard isGradientEnabled else { return try whole(spread, isBackward: false) { _ in try body(inputs) } }
    // Of what is spread, adapters alone are whole here.
    let learned = parameters.flatMap(\.learned), anchors = spread?.anchor.map { [$0] } ?? []
    let generator = DropoutRandom.generator
    let state = try generator?.state()
    func fresh() throws -> [Tensor] {
        try inputs.map { input in
            let copy = try input.detach()
            if input.requiresGradient { try copy.setRequiresGradient(true) }
            return copy
        }
    }
    return try customFunction(inputs: inputs + learned + anchors) {
        // Recorded, and forgotten at once: without recording, other kernels would run, which round otherwise.
        try whole(spread, isBackward: false) { _ in try withGradient { try body(fresh()) }.map { try $0.detach() } }
    } backward: { gradients in
        let copies = try fresh()
        var again: RandomGenerator?
        if let generator, let state {
            let made = try RandomGenerator(seed: 0, device: generator.device)
            try made.setState(state)
            again = made
        }
        return try whole(spread, isBackward: true) { leaves in
            let outputs = try DropoutRandom.$generator.withValue(again) { try withGradient { try body(copies) } }
            let reached = zip(outputs, gradients).compactMap { output, gradient in
                output.requiresGradient ? gradient.map { (output, $0) } : nil
            }
            let all = copies + learned + leaves
            let wanted = all.indices.filter { all[$0].requiresGradient }
            var results = [Tensor?](repeating: nil, count: all.count)
            if !reached.isEmpty, !wanted.isEmpty {
                let found = try Tensor.gradients(
                    of: reached.map(\.0), weightedBy: reached.map(\.1), for: wanted.map { all[$0] })
                for (index, gradient) in zip(wanted, found) { results[index] = gradient }
            }
            // In any case: the other processes wait for this one's share.
            if !leaves.isEmpty { try spread?.add(Array(results.suffix(leaves.count))) }
            return results.dropLast(leaves.count) + anchors.map { _ in nil }
        }
    }
}

/// Parameters of a block whose values lie spread over several processes, and come together while the block is at work
/// (fully sharded training, Rajbhandari et al. 2020; Zhao et al. 2023).
///
/// All processes must bring the same blocks together in the same order.
public protocol SpreadParameters: AnyObject {
    /// A leaf that stands for what learns in the graph of a pass; nil where nothing does.
    var anchor: Tensor? { get }
    /// Makes the parameters' tensors whole, and gives those that learn.
    ///
    /// - Parameter isBackward: whether a backward pass asks, which goes through blocks the other way round.
    func gather(isBackward: Bool) throws -> [Tensor]
    /// Forgets the whole tensors.
    func free() throws
    /// Adds the gradients of all processes to what each of them keeps; nil where a tensor of `gather` had no part.
    func add(_ gradients: [Tensor?]) throws
}

/// Runs `body` while the parameters are whole, with those that learn.
private func whole<Result>(
    _ spread: (any SpreadParameters)?, isBackward: Bool, _ body: ([Tensor]) throws -> Result
) throws -> Result {
    guard let spread else { return try body([]) }
    let leaves = try spread.gather(isBackward: isBackward)
    let result = try body(leaves)
    try spread.free()
    return result
}

extension Parameter {
    /// The tensors that learn: its own, and those of its adapter.
    public var learned: [Tensor] {
        ([tensor] + (adapter?.parameters.map(\.tensor) ?? [])).filter(\.requiresGradient)
    }
}

extension ParameterScope {
    /// All parameters asked for so far whose names start with this prefix.
    public var parameters: [Parameter] { store.parameters.filter { $0.name.hasPrefix(prefix) } }
}
