public import NN
public import Torch

/// AdamW, Adafactor or Muon over float32 master weights.
///
/// All parameters of a group lie one after another in flat tensors, so that a step is a handful of operations however
/// many parameters there are. The model's own tensors become views of such a tensor, in the precision of the passes. Of
/// several processes each may hold a share of these tensors.
public final class Optimizer {
    let groups: [Group]
    /// The processes that learn together.
    let ranks: ProcessGroup
    private let settings: AdamWOptions
    /// How much of the mean of the weights stays at each step; nil where none is kept.
    private let averageDecay: Double?
    /// Parameters of blocks that are to be spread, and those that are.
    private var blocks: [(parameters: [Parameter], groups: [Group])] = []
    private(set) var spreadBlocks: [SpreadBlock] = []
    let spreadOrder = SpreadOrder()
    /// Who talks to other ranks while passes go on; nil where there are none.
    let courier: Courier?
    /// Where passes leave their gradients as they come.
    private(set) var stream: GradientStream?

    /// Makes `parameters` learn.
    ///
    /// - Parameters:
    ///   - masters: float32 values by name; a parameter without one starts from its tensor.
    ///   - dtype: the type that the model computes in.
    ///   - rateFactor: a factor of the learning rate for a parameter's name.
    ///   - kind: of which `adafactor` takes rate and weight decay alone from the settings.
    ///   - hasSmallState: whether moments have 8 bits a value in place of 32.
    ///   - averageDecay: of an exponential moving average of the float32 values, which begins with them.
    ///   - offload: what is on the CPU, where steps are taken then, whatever the device.
    ///   - device: where passes are computed; where the first parameter lies if nil.
    ///   - sharding: what each of several processes holds a share of.
    ///   - ranks: the processes that learn together, each from micro-batches of its own.
    ///   - everyone: these, and those that hold other pieces of parameters; `ranks` where nil.
    ///   - blocks: parameters of each of the model's blocks, whose weights `full` sharding spreads; see `spread`.
    ///   - decays: whether weight decay applies; matrices only if nil.
    ///   - orthogonalizes: with `muon`, which matrices it takes, and AdamW the rest; those of linear layers if nil.
    public init(
        _ parameters: [Parameter], masters: [String: Tensor] = [:], dtype: DType, settings: AdamWOptions,
        kind: Recipe.OptimizerKind = .adamw, hasSmallState: Bool = false, averageDecay: Double? = nil,
        offload: Recipe.Memory.Offload = .none, device: Device? = nil, sharding: ShardingKind = .none,
        ranks: ProcessGroup = .alone,
        everyone: ProcessGroup? = nil,
        blocks: [[Parameter]] = [], rateFactor: (String) -> Double = { _ in 1 },
        decays: ((Parameter) -> Bool)? = nil,
        orthogonalizes: ((Parameter) -> Bool)? = nil
    ) throws {
        precondition(kind == .adamw || !hasSmallState, "see Recipe.unsupported")
        self.settings = settings
        self.averageDecay = averageDecay
        self.ranks = ranks
        self.everyone = everyone ?? ranks
        let device = device ?? parameters.first?.tensor.device ?? .cpu
        self.device = device
        let isAlone = self.everyone.size == 1, areBlocksAway = offload == .parameters && device != .cpu
        courier = isAlone && !areBlocksAway ? nil : Courier(isAlone: isAlone)
        let isShared = ranks.size > 1 && sharding != .none, isSpread = isShared && sharding == .full || areBlocksAway
        precondition(!areBlocksAway || sharding == .full || ranks.size == 1, "see Recipe.requireSharding")
        // What is shared is shared block by block, and what is large by itself, so that a part can be on its way while
        // the pass goes on.
        var units: [String: Int] = [:], count = 0
        if isShared || isSpread {
            count = blocks.count
            for (index, block) in blocks.enumerated() { for parameter in block { units[parameter.name] = index } }
            for parameter in parameters where units[parameter.name] == nil && parameter.count >= Bucket.size / 16 {
                units[parameter.name] = count
                count += 1
            }
        }
        var order: [GroupKey] = [], canonical: [GroupKey: (number: Int, count: Int)] = [:]
        var members: [GroupKey: [(parameter: Parameter, position: Int)]] = [:]
        for parameter in parameters {
            var key = GroupKey(
                factor: rateFactor(parameter.name),
                decay: decays?(parameter) ?? (parameter.wholeShape.count >= 2) ? settings.weightDecay : 0)
            key.isMuon = kind == .muon && (orthogonalizes?(parameter) ?? parameter.isOrthogonalizable)
            let place = canonical[key] ?? (canonical.count, 0)
            canonical[key] = (place.number, place.count + 1)
            key.unit = units[parameter.name]
            key.pieces = parameter.partition.map { ObjectIdentifier($0.group) }
            if members[key] == nil { order.append(key) }
            members[key, default: []].append((parameter, place.count))
        }
        groups = try withoutGradient {
            try order.map { key in
                let all = members[key] ?? []
                let plain = GroupKey(factor: key.factor, decay: key.decay, isMuon: key.isMuon)
                let number = canonical[plain]?.number ?? 0
                let holders = all.first?.parameter.partition?.copies ?? ranks
                let isBlock = key.unit.map { $0 < blocks.count } ?? false
                // A block comes together as one, also where what it holds has no copies elsewhere.
                let layout: Group.Layout =
                    isSpread && isBlock
                    ? .spread
                    : holders.size == 1 || !isShared
                        ? .whole : sharding >= .gradients ? .sharedGradients : .sharedState
                return try Group(
                    all.map(\.parameter), positions: all.map(\.position), number: number, masters: masters,
                    rateFactor: key.factor, weightDecay: key.decay, dtype: dtype,
                    kind: kind == .muon && !key.isMuon ? .adamw : kind,
                    hasSmallState: hasSmallState, hasAverage: averageDecay != nil, offload: offload, device: device,
                    layout: layout, unit: key.unit, ranks: holders)
            }
        }
        if isSpread {
            for (index, block) in blocks.enumerated() {
                self.blocks.append((block, zip(order, groups).filter { $0.0.unit == index }.map(\.1)))
            }
        }
        // Pieces that no other rank has copies of go nowhere, and are added up behind each pass.
        if isAlone || groups.contains(where: { $0.ranks.size > 1 }) {
            stream = try GradientStream(groups, ranks, courier)
        }
    }

    deinit { courier?.stop() }

    private struct GroupKey: Hashable {
        var factor: Double
        var decay: Double
        var isMuon = false
        var unit: Int?
        var pieces: ObjectIdentifier?
    }

    /// All processes of the run.
    let everyone: ProcessGroup
    /// Where passes are computed.
    private let device: Device

    /// Takes the weights of all blocks away from the model but for this process's share; they come together while a
    /// block is at work. Does nothing unless sharding is `full`, or parameters are offloaded.
    func spread() throws {
        guard let courier, !blocks.isEmpty else { return }
        spreadBlocks = try withoutGradient {
            try blocks.map {
                try SpreadBlock($0.parameters, $0.groups, over: ranks, courier, spreadOrder, on: device)
            }
        }
        blocks = []
        stream?.waitsForPass = true
    }

    /// Waits for what blocks that are spread have on its way, at the end of a step's passes.
    func finishPass() throws {
        for block in spreadBlocks { try block.finishPass() }
        spreadOrder.endPass()
    }

    /// Waits for what a pass that failed began, whatever comes of it: it must not reach the next one's gradients.
    func abandonPass() {
        guard isSpread else { return }
        _ = try? courier?.send { [] }.wait()
        for block in spreadBlocks { block.abandonPass() }
        spreadOrder.endPass()
    }

    /// Whether every rank must bring the same blocks together in the same order.
    var isSpread: Bool { !spreadBlocks.isEmpty }

    private var isShared: Bool { groups.contains { $0.layout != .whole } }
    private var isDivided: Bool { groups.contains { $0.pieces != nil } }

    /// Number of values that learn, those of other processes included.
    public var parameterCount: Int {
        groups.reduce(0) { $0 + $1.slots.reduce(0) { $0 + $1.parameter.wholeShape.reduce(1, *) } }
    }

    /// The parameters that learn and are whole on this process.
    private var wholeSlots: [Slot] { groups.filter { $0.layout != .spread }.flatMap(\.slots) }

    /// The model's tensors that learn, and what stands for those that are spread.
    var leaves: [Tensor] { wholeSlots.map(\.parameter.tensor) + spreadBlocks.compactMap(\.anchor) }

    public func zeroGradients() throws {
        for group in groups {
            try group.gradient.fill(0)
            if let collected = group.collected, collected !== group.gradient { try collected.fill(0) }
        }
    }

    /// Adds to the float32 gradients; nil where a tensor of `leaves` had no part. Of what comes as it is found, see `stream`.
    func add(_ gradients: [Tensor?]) throws {
        try withoutGradient {
            // Blocks that are spread have added theirs.
            for (slot, gradient) in zip(wholeSlots, gradients) {
                if let gradient, let sum = slot.gradient { try sum.addInPlace(gradient.to(sum.device)) }
            }
        }
    }

    /// Whether a parameter learns.
    func learns(_ name: String) -> Bool { groups.contains { $0.slots.contains { $0.parameter.name == name } } }

    /// The norm of all collected gradients together.
    public func gradientNorm() throws -> Double {
        try summed(1, for: "adding up a norm") { [try $0.gradient.norm().item().squared] }[0].squareRoot()
    }

    /// Sums of `count` numbers of each group over all groups and processes, those of each value counted once: the same on
    /// every rank, because what follows from them must be decided alike.
    func summed(_ count: Int, for name: String, _ numbers: (Group) throws -> [Double]) throws -> [Double] {
        func sum(_ rows: [[Double]]) -> [Double] {
            rows.reduce(Array(repeating: 0, count: count)) { zip($0, $1).map { $0 + $1 } }
        }
        // Values that lie in the same way go together.
        var kinds: [ObjectIdentifier?] = []
        for group in groups where !kinds.contains(group.pieces?.id) { kinds.append(group.pieces?.id) }
        return try sum(
            kinds.map { kind in
                let alike = groups.filter { $0.pieces?.id == kind }
                var own = try sum(alike.map(numbers))
                guard let first = alike.first else { return own }
                if alike.contains(where: { $0.layout != .whole }) {
                    own = try sum(first.ranks.gathered(own, for: name))
                }
                if let pieces = first.pieces { own = try sum(pieces.gathered(own, for: name)) }
                return own
            })
    }

    /// The largest magnitude of each parameter's gradient, over all processes.
    func largestGradients() throws -> [(parameter: Parameter, value: Double)] {
        try largest(\.gradient) { _ in true }
    }

    /// The largest magnitude of some parameters' values in one of the flat tensors of shares, over all processes.
    func largest(
        _ values: (Group) -> Tensor, where isMeant: (Parameter) -> Bool
    ) throws -> [(parameter: Parameter, value: Double)] {
        var own: [Double] = []
        for group in groups {
            for slot in group.slots where isMeant(slot.parameter) {
                let range = slot.range.clamped(to: group.share)
                let part = try values(group).slice(0, range.shifted(by: -group.share.lowerBound))
                own.append(range.isEmpty ? 0 : try part.abs().amax().item())
            }
        }
        let all = isShared || isDivided ? try everyone.gathered(own, for: "looking at gradients") : [own]
        return groups.flatMap(\.slots).filter { isMeant($0.parameter) }.enumerated().map { index, slot in
            // A value that is not finite is no value that is not there.
            let values = all.map { $0[index] }
            return (slot.parameter, values.contains(where: \.isNaN) ? .nan : values.max() ?? 0)
        }
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

    /// One step at the learning rate `rate`.
    public func step(rate: Double) throws {
        try withoutGradient {
            for group in groups {
                var options = settings
                options.rate = rate * group.rateFactor
                options.weightDecay = group.weightDecay
                try group.update(options)
                if let averageDecay { try group.takeAverage(averageDecay) }
                try group.publish()
            }
        }
    }

    /// Ends learning: the tensors stay as they are, whole or this process's pieces, and are frozen. Gives the float32
    /// values by name, all of them whole.
    public func release() throws -> [String: Tensor] {
        try withoutGradient {
            for block in spreadBlocks { try block.end() }
            // What was fetched ahead for a block whose turn does not come must be here before the next stage's courier
            // talks over the same connections, or ranks take one's answer for the other's.
            try finishPass()
            spreadBlocks = []
            var masters: [String: Tensor] = [:]
            for group in groups {
                let master = try group.gathered(group.master)
                for slot in group.slots {
                    try slot.parameter.tensor.setRequiresGradient(false)
                    let value = try master.slice(0, slot.range).view(slot.shape)
                    masters[slot.parameter.name] =
                        try (slot.parameter.partition?.gathered(value) ?? value).to(group.leafShare.device)
                }
            }
            return masters
        }
    }
}

extension Parameter {
    /// Whether it is the matrix of a linear layer, or one of the two of its adapter.
    var isOrthogonalizable: Bool {
        shape.count == 2
            && (isLinear || name.hasSuffix(LowRankAdapters.downSuffix) || name.hasSuffix(LowRankAdapters.upSuffix))
    }

    /// Its shape on all processes together.
    var wholeShape: [Int] { partition?.shape ?? shape }
}

extension ProcessGroup {
    fileprivate var id: ObjectIdentifier { ObjectIdentifier(self) }
}

extension Double {
    fileprivate var squared: Double { self * self }
}
