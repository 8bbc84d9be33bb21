public import NN
public import Torch

/// AdamW over float32 master weights.
///
/// All parameters of a group lie one after another in flat tensors, so that a step is a handful of operations however
/// many parameters there are. The model's own tensors become views of such a tensor, in the precision of the passes.
public final class Optimizer {
    /// A parameter's place in its group.
    struct Slot {
        let parameter: Parameter
        let shape: [Int]
        let range: Range<Int>
        /// The part of the group's gradient that is its own.
        let gradient: Tensor
    }

    final class Group {
        let rateFactor: Double
        let weightDecay: Double
        let slots: [Slot]
        /// Float32, flat, with gaps of zeros between parameters.
        let master: Tensor
        let gradient: Tensor
        let first: Moments
        let second: Moments
        /// What the model computes with; the master itself in float32.
        let leaves: Tensor
        /// Steps done, as the fused kernel wants it.
        let step: Tensor

        init(
            _ parameters: [Parameter], masters: [String: Tensor], rateFactor: Double, weightDecay: Double, dtype: DType,
            hasSmallState: Bool
        ) throws {
            self.rateFactor = rateFactor
            self.weightDecay = weightDecay
            var offset = 0
            let ranges = parameters.map { parameter in
                defer { offset += (parameter.count + Self.alignment - 1) / Self.alignment * Self.alignment }
                return offset..<offset + parameter.count
            }
            if hasSmallState {
                offset = (offset + QuantizedMoments.block - 1) / QuantizedMoments.block * QuantizedMoments.block
            }
            let count = offset
            let device = parameters.first?.tensor.device ?? .cpu
            func flat(_ dtype: DType) throws -> Tensor { try Tensor.zeros([count], dtype: dtype, device: device) }
            master = try flat(.float32)
            gradient = try flat(.float32)
            first = try Moments(count, areSquares: false, isQuantized: hasSmallState, device: device)
            second = try Moments(count, areSquares: true, isQuantized: hasSmallState, device: device)
            leaves = dtype == .float32 ? master : try flat(dtype)
            step = try Tensor.zeros([], device: device)
            for (parameter, range) in zip(parameters, ranges) {
                let start = masters[parameter.name] ?? parameter.tensor
                try master.slice(0, range).copy(from: start.detach().reshape(-1))
            }
            if leaves !== master { try leaves.copy(from: master) }
            slots = try zip(parameters, ranges).map { [gradient] parameter, range in
                Slot(
                    parameter: parameter, shape: parameter.shape, range: range,
                    gradient: try gradient.slice(0, range).view(parameter.shape))
            }
            for slot in slots {
                let leaf = try leaves.slice(0, slot.range).view(slot.shape).detach()
                try leaf.setRequiresGradient(true)
                slot.parameter.tensor = leaf
            }
        }

        /// Parameters start at multiples of this many elements: a cache line in any precision.
        private static let alignment = 64
        /// Moments in 8 bits are unpacked so many at a time.
        private static let stretch = 1 << 22

        /// One step of AdamW.
        func update(_ options: AdamWOptions) throws {
            if let first = first.values, let second = second.values {
                try adamW(
                    parameters: [master], gradients: [gradient], firstMoments: [first], secondMoments: [second],
                    steps: [step], options: options)
                return
            }
            let count = master.count, before = try step.clone()
            for start in stride(from: 0, to: count, by: Self.stretch) {
                let range = start..<min(start + Self.stretch, count)
                // Every stretch takes the same step; the kernel counts it up each time.
                try step.copy(from: before)
                try first.update(range) { first in
                    try second.update(range) { second in
                        try adamW(
                            parameters: [master.slice(0, range)], gradients: [gradient.slice(0, range)],
                            firstMoments: [first], secondMoments: [second], steps: [step], options: options)
                    }
                }
            }
        }
    }

    let groups: [Group]
    private let settings: AdamWOptions

    /// Makes `parameters` learn.
    ///
    /// - Parameters:
    ///   - masters: float32 values by name; a parameter without one starts from its tensor.
    ///   - dtype: the type that the model computes in.
    ///   - rateFactor: a factor of the learning rate for a parameter's name.
    ///   - hasSmallState: whether moments have 8 bits a value in place of 32.
    ///   - decays: whether weight decay applies; matrices only if nil.
    public init(
        _ parameters: [Parameter], masters: [String: Tensor] = [:], dtype: DType, settings: AdamWOptions,
        hasSmallState: Bool = false, rateFactor: (String) -> Double = { _ in 1 }, decays: ((Parameter) -> Bool)? = nil
    ) throws {
        self.settings = settings
        var order: [GroupKey] = []
        var members: [GroupKey: [Parameter]] = [:]
        for parameter in parameters {
            let key = GroupKey(
                factor: rateFactor(parameter.name),
                decay: decays?(parameter) ?? (parameter.shape.count >= 2) ? settings.weightDecay : 0)
            if members[key] == nil { order.append(key) }
            members[key, default: []].append(parameter)
        }
        groups = try withoutGradient {
            try order.map { key in
                try Group(
                    members[key] ?? [], masters: masters, rateFactor: key.factor, weightDecay: key.decay, dtype: dtype,
                    hasSmallState: hasSmallState)
            }
        }
    }

    private struct GroupKey: Hashable {
        var factor: Double
        var decay: Double
    }

    /// Number of values that learn.
    public var parameterCount: Int { groups.reduce(0) { $0 + $1.slots.reduce(0) { $0 + $1.range.count } } }

    /// The model's tensors that learn.
    var leaves: [Tensor] { groups.flatMap { $0.slots.map(\.parameter.tensor) } }

    public func zeroGradients() throws {
        for group in groups { try group.gradient.fill(0) }
    }

    /// Adds to the float32 gradients; nil where a tensor of `leaves` had no part.
    func add(_ gradients: [Tensor?]) throws {
        try withoutGradient {
            for (slot, gradient) in zip(groups.lazy.flatMap(\.slots), gradients) {
                if let gradient { try slot.gradient.addInPlace(gradient) }
            }
        }
    }

    /// The gradient collected so far for a parameter; nil for one that is frozen.
    public func gradient(of name: String) -> Tensor? {
        for group in groups {
            if let slot = group.slots.first(where: { $0.parameter.name == name }) { return slot.gradient }
        }
        return nil
    }

    /// The norm of all collected gradients together.
    public func gradientNorm() throws -> Double {
        try groups.reduce(0) { $0 + (try $1.gradient.norm().item()).squared }.squareRoot()
    }

    public func scaleGradients(_ factor: Double) throws {
        for group in groups { try group.gradient.multiplyInPlace(factor) }
    }

    /// One step with clipped gradients; where loss or norm are not finite nothing changes.
    ///
    /// - Parameters:
    ///   - norm: that of the collected gradients.
    ///   - clip: the largest norm, as PyTorch's `clip_grad_norm_` has it; nil leaves gradients as they are.
    /// - Returns: whether the step was taken.
    func update(loss: Double, norm: Double, rate: Double, clip: Double?) throws -> Bool {
        guard loss.isFinite, norm.isFinite else { return false }
        if let clip, norm > clip { try scaleGradients(clip / (norm + 1e-6)) }
        try step(rate: rate)
        return true
    }

    /// One AdamW step at the learning rate `rate`.
    public func step(rate: Double) throws {
        try withoutGradient {
            for group in groups {
                var options = settings
                options.rate = rate * group.rateFactor
                options.weightDecay = group.weightDecay
                try group.update(options)
                if group.leaves !== group.master { try group.leaves.copy(from: group.master) }
            }
        }
    }

    /// Ends learning: the tensors stay as they are, and are frozen. Gives the float32 values by name.
    public func release() throws -> [String: Tensor] {
        var masters: [String: Tensor] = [:]
        for group in groups {
            for slot in group.slots {
                try slot.parameter.tensor.setRequiresGradient(false)
                masters[slot.parameter.name] = try group.master.slice(0, slot.range).view(slot.shape)
            }
        }
        return masters
    }
}

extension Double {
    fileprivate var squared: Double { self * self }
}
