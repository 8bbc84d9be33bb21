internal import NN
internal import Torch

/// A block of the model of whose parameters each process holds a share: weights come together while the block is at
/// work, gradients are added up into the shares (Rajbhandari et al. 2020, stage 3; Zhao et al. 2023). The shares may lie
/// in the CPU's memory while blocks work elsewhere (Rajbhandari et al. 2021).
final class SpreadBlock: SpreadParameters {
    let parameters: [Parameter]
    let anchor: Tensor?
    private let groups: [Optimizer.Group]
    private let frozen: [FrozenShare]
    private let courier: Courier
    /// The courier's own, to the ranks that share each group.
    private let connections: [ProcessGroup]
    private let order: SpreadOrder
    /// Where the block works.
    private let device: Device
    /// Whole values that were asked for ahead of time.
    private var coming: Courier.Errand?
    /// Gradients that are on their way.
    private var sums: [Courier.Errand] = []

    /// Values that do not learn, flat, in the type that the model computes in.
    private struct FrozenShare {
        let slots: [(parameter: Parameter, shape: [Int], range: Range<Int>)]
        let part: Tensor
        /// The courier's own connection to the ranks that share them.
        let ranks: ProcessGroup

        init(_ parameters: [Parameter], over ranks: ProcessGroup) throws {
            self.ranks = ranks
            var offset = 0
            slots = parameters.map { parameter in
                defer { offset = offset.roundedUp(to: Optimizer.Group.alignment, adding: parameter.count) }
                return (parameter, parameter.shape, offset..<offset + parameter.count)
            }
            let count = offset.roundedUp(to: Optimizer.Group.alignment * ranks.size) / ranks.size
            let first = parameters[0].tensor
            let whole = try Tensor.zeros([count * ranks.size], dtype: first.dtype, device: first.device)
            for (parameter, _, range) in slots {
                try whole.slice(0, range).copy(from: parameter.tensor.detach().reshape(-1))
            }
            part = try whole.slice(0, ranks.rank * count..<(ranks.rank + 1) * count).clone()
        }
    }

    /// Takes the parameters' values away from `parameters`.
    ///
    /// - Parameters:
    ///   - groups: of those that learn.
    ///   - order: that of all blocks, by which the next one's weights are fetched while one is at work.
    init(
        _ parameters: [Parameter], _ groups: [Optimizer.Group], over group: ProcessGroup, _ courier: Courier,
        _ order: SpreadOrder, on device: Device
    ) throws {
        self.device = device
        self.parameters = parameters
        self.groups = groups
        self.courier = courier
        self.order = order
        func connection(_ group: ProcessGroup) throws -> ProcessGroup { group.size > 1 ? try group.sibling() : group }
        connections = try groups.map { try connection($0.ranks) }
        anchor = groups.isEmpty ? nil : try Tensor.zeros([1])
        try anchor?.setRequiresGradient(true)
        let learning = Set(groups.flatMap(\.slots).map(\.parameter.name))
        // Of matrices in 4 bits every process has all.
        let still = parameters.filter { !$0.isConstant && !learning.contains($0.name) && $0.quantized == nil }
        // Experts are shared by fewer ranks than the rest of a block.
        var holders: [ProcessGroup] = []
        func holder(_ parameter: Parameter) -> ProcessGroup { parameter.partition?.copies ?? group }
        for parameter in still where !holders.contains(where: { $0 === holder(parameter) }) {
            holders.append(holder(parameter))
        }
        frozen = try holders.map { ranks in
            try FrozenShare(still.filter { holder($0) === ranks }, over: connection(ranks))
        }
        for parameter in parameters { parameter.spread = self }
        try free()
    }

    func gather(isBackward: Bool) throws -> [Tensor] {
        order.count(isAhead: coming != nil)
        let fetched = coming ?? fetch()
        coming = nil
        let next = order.follow(self, isBackward: isBackward)
        if let next, next.coming == nil { next.coming = next.fetch() }
        var whole = try fetched.wait()[...]
        var leaves: [Tensor] = []
        for group in groups {
            let values = whole.removeFirst()
            for slot in group.slots {
                let leaf = try values.slice(0, slot.range).view(slot.shape).detach()
                try leaf.setRequiresGradient(true)
                slot.parameter.tensor = leaf
                leaves.append(leaf)
            }
        }
        for share in frozen {
            let values = whole.removeFirst()
            for (parameter, shape, range) in share.slots {
                parameter.tensor = try values.slice(0, range).view(shape)
            }
        }
        return leaves
    }

    /// Asks for the whole values: those of each group, and of what does not learn.
    private func fetch() -> Courier.Errand {
        courier.send { [groups, frozen, connections, device] in
            var whole = try zip(groups, connections).map { try $0.gathered($0.leafShare.fetched(to: device), over: $1) }
            for share in frozen {
                let part = try share.part.fetched(to: device), ranks = share.ranks
                guard ranks.size > 1 else {
                    whole.append(part)
                    continue
                }
                let values = try Tensor.empty([part.count * ranks.size], dtype: part.dtype, device: part.device)
                try ranks.allGather(part, into: values, for: "gathering weights")
                whole.append(values)
            }
            return whole
        }
    }

    func free() throws {
        // Shapes without memory: who reads them out of turn gets an error and no wrong numbers.
        for slot in groups.flatMap(\.slots) { try slot.parameter.forget(slot.shape) }
        for (parameter, shape, _) in frozen.flatMap(\.slots) { try parameter.forget(shape) }
    }

    func add(_ gradients: [Tensor?]) throws {
        var rest = gradients[...]
        for (group, ranks) in zip(groups, connections) {
            if ranks.size == 1 {
                let parts = group.slots.map { ($0, rest.removeFirst()) }
                sums.append(
                    courier.send {
                        for (slot, gradient) in parts {
                            guard let gradient else { continue }
                            try group.gradient.slice(0, slot.range).view(slot.shape)
                                .addInPlace(gradient.to(group.gradient.device))
                        }
                        return []
                    })
                continue
            }
            let whole = try Tensor.zeros([group.count], device: device)
            for slot in group.slots {
                if let gradient = rest.removeFirst() {
                    try whole.slice(0, slot.range).copy(from: gradient.reshape(-1))
                }
            }
            // The pass goes on meanwhile; who needs the sum waits, see `finishPass`.
            sums.append(
                courier.send { [device] in
                    let sum = try Tensor.empty([group.share.count], device: device)
                    try ranks.reduceScatter(whole, into: sum, for: "adding up gradients")
                    try group.gradient.addInPlace(sum.to(group.gradient.device))
                    return []
                })
        }
    }

    /// Waits for what `add` began, and forgets what was fetched ahead: the step changes it.
    func finishPass() throws {
        defer { (sums, coming) = ([], nil) }
        for errand in sums + (coming.map { [$0] } ?? []) { _ = try errand.wait() }
    }

    /// Forgets what a pass that failed began, and the courier has done.
    func abandonPass() { (sums, coming) = ([], nil) }

    /// Gives the parameters their whole values back, where the shares lie.
    func end() throws {
        for leaf in try gather(isBackward: false) { try leaf.setRequiresGradient(false) }
        for (parameter, home) in groups.flatMap({ group in group.slots.map { ($0.parameter, group.leafShare.device) } })
            + frozen.flatMap({ share in share.slots.map { ($0.parameter, share.part.device) } })
        {
            parameter.tensor = try parameter.tensor.to(home)
        }
        for parameter in parameters { parameter.spread = nil }
    }
}

/// In which order blocks come together, learned from pass to pass: what came after a block the last time most likely comes
/// after it again. Were it wrong, all ranks would be wrong alike, and the next block would just come late.
final class SpreadOrder {
    private var after: [Turn: Weak] = [:]
    private var last: Turn?
    /// Turns of all blocks so far, and those for which the weights were on their way before.
    private(set) var turns = (all: 0, ahead: 0)

    private struct Turn: Hashable {
        let block: ObjectIdentifier
        let isBackward: Bool
    }

    private struct Weak {
        weak var block: SpreadBlock?
    }

    /// Notes a block's turn.
    ///
    /// - Returns: the block whose turn is next, as far as is known.
    func follow(_ block: SpreadBlock, isBackward: Bool) -> SpreadBlock? {
        let turn = Turn(block: ObjectIdentifier(block), isBackward: isBackward)
        if let last { after[last] = Weak(block: block) }
        last = turn
        return after[turn]?.block
    }

    func count(isAhead: Bool) { turns = (turns.all + 1, turns.ahead + (isAhead ? 1 : 0)) }

    /// Ends a pass: nothing follows its last block.
    func endPass() { last = nil }
}

extension Parameter {
    fileprivate func forget(_ shape: [Int]) throws {
        tensor = try Tensor.empty(shape, dtype: tensor.dtype, device: .meta)
    }
}
