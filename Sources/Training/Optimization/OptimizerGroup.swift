internal import NN
internal import Torch

extension Optimizer {
    /// A parameter's place in its group.
    struct Slot {
        let parameter: Parameter
        let shape: [Int]
        let range: Range<Int>
        /// Where it stands in its group when nothing is spread.
        let position: Int
        /// The part of what passes collect that is its own; nil where no process has it whole.
        let gradient: Tensor?
    }

    /// Parameters with the same factors, one after another in flat tensors.
    final class Group {
        /// How a group lies on several processes.
        enum Layout {
            /// Each has all of it.
            case whole
            /// Each has its share of the float32 values and moments, and all of what the model computes with.
            case sharedState
            /// The same, and a share of the gradients.
            case sharedGradients
            /// Each has its share of everything.
            case spread
        }

        let rateFactor: Double
        let weightDecay: Double
        /// Among the groups that there are when nothing is spread.
        let number: Int
        let layout: Layout
        /// What is on its way to other processes together; nil where everything is.
        let unit: Int?
        /// The processes that have the same values, and learn together.
        let ranks: ProcessGroup
        /// Those that have all pieces of the values together; nil where each has them whole.
        let pieces: ProcessGroup?
        let slots: [Slot]
        /// Values of all processes together, with gaps of zeros between parameters and behind them.
        let count: Int
        /// The part of them that this process updates.
        let share: Range<Int>
        /// Float32, of the share; on the CPU, like all that the step needs, where that is offloaded.
        let master: Tensor
        /// Mean of the float32 values over the steps; nil where none is kept.
        let average: Tensor?
        /// Of AdamW; the first one of Muon, too.
        let first: Moments?
        let second: Moments?
        /// Of Adafactor, in the order of the slots.
        let factored: [FactoredMoments]?
        /// Where passes add up gradients, float32, all of them; nil where they are spread.
        let collected: Tensor?
        /// What the step takes: the sum over all processes, of the share.
        let gradient: Tensor
        /// What the model computes with, all of it; nil where it is spread.
        let leaves: Tensor?
        /// The share of it. In float32 the master itself.
        let leafShare: Tensor
        /// Steps done, as the fused kernel wants it.
        let step: Tensor

        /// - Parameters:
        ///   - positions: where the parameters stand in their group when nothing is spread.
        ///   - ranks: the processes that share the group.
        init(
            _ parameters: [Parameter], positions: [Int], number: Int, masters: [String: Tensor], rateFactor: Double,
            weightDecay: Double, dtype: DType, kind: Recipe.OptimizerKind, hasSmallState: Bool, hasAverage: Bool,
            offload: Recipe.Memory.Offload, device place: Device, layout: Layout, unit: Int?, ranks: ProcessGroup
        ) throws {
            self.rateFactor = rateFactor
            self.weightDecay = weightDecay
            self.number = number
            self.layout = layout
            self.unit = unit
            self.ranks = ranks
            let pieces = parameters.first?.partition?.group
            self.pieces = pieces
            let shapes = parameters.map { parameter in
                parameter.partition.map { $0.shape(of: $0.group.rank) } ?? parameter.shape
            }
            let ranges = Self.ranges(shapes)
            let offset = ranges.last?.upperBound.roundedUp(to: Self.alignment) ?? 0
            let (rank, size) = (ranks.rank, ranks.size)
            let parts = layout == .whole ? 1 : size
            count = offset.roundedUp(to: Self.alignment * parts)
            let part = layout == .whole ? 0 : rank
            share = part * (count / parts)..<(part + 1) * (count / parts)
            let device = offload >= .optimizer ? .cpu : place
            let home = offload == .parameters && layout == .spread ? .cpu : place
            func flat(_ count: Int) throws -> Tensor { try Tensor.zeros([count], device: device) }
            func leaf(_ count: Int) throws -> Tensor { try Tensor.zeros([count], dtype: dtype, device: home) }
            let leaves = layout == .spread ? nil : try leaf(count)
            self.leaves = leaves
            if dtype == .float32, device == home {
                master = try layout == .whole ? leaves ?? flat(count) : leaves?.slice(0, share) ?? flat(share.count)
                leafShare = master
            } else {
                master = try flat(share.count)
                leafShare = try leaves?.slice(0, share) ?? leaf(share.count)
            }
            let (held, values) = (self.share, self.master)
            // Values first: the tensors that they came from go before gradients and moments are made.
            for index in parameters.indices {
                let slot = Slot(
                    parameter: parameters[index], shape: shapes[index], range: ranges[index],
                    position: positions[index], gradient: nil)
                let start = try slot.piece(of: (masters[slot.parameter.name] ?? slot.parameter.tensor).detach())
                try leaves?.slice(0, slot.range).copy(from: start.reshape(-1))
                try Self.take(slot, from: start, into: values, share: held)
                guard let leaves else { continue }
                let leaf = try leaves.slice(0, slot.range).view(slot.shape).detach()
                try leaf.setRequiresGradient(true)
                slot.parameter.tensor = leaf
            }
            if leaves == nil, leafShare !== master { try leafShare.copy(from: master) }
            gradient = try flat(share.count)
            switch layout {
            case .whole: collected = gradient
            case .sharedState: collected = try flat(count)
            case .sharedGradients, .spread: collected = nil
            }
            average = hasAverage ? try master.clone() : nil
            let own = share.count
            func moments(areSquares: Bool) throws -> Moments? {
                guard kind == .adamw || kind == .muon && !areSquares else { return nil }
                return try Moments(own, areSquares: areSquares, isQuantized: hasSmallState, device: device)
            }
            first = try moments(areSquares: false)
            second = try moments(areSquares: true)
            // Small enough that every process has all of them.
            factored =
                kind == .adafactor ? try parameters.map { try FactoredMoments($0.wholeShape, device: device) } : nil
            step = try Tensor.zeros([], device: device)
            slots = try parameters.indices.map { [collected] index in
                Slot(
                    parameter: parameters[index], shape: shapes[index], range: ranges[index],
                    position: positions[index],
                    gradient: try collected?.slice(0, ranges[index]).view(shapes[index]))
            }
        }

        /// Where parameters of these shapes lie.
        private static func ranges(_ shapes: [[Int]]) -> [Range<Int>] {
            var offset = 0
            return shapes.map { shape in
                let count = shape.reduce(1, *)
                defer { offset = offset.roundedUp(to: alignment, adding: count) }
                return offset..<offset + count
            }
        }

        /// Parameters start at multiples of so many elements: a cache line in any precision, and whole blocks of moments in
        /// 8 bits, so that a block is of one parameter wherever that lies.
        static let alignment = QuantizedMoments.block
        /// Moments in 8 bits are unpacked so many at a time.
        private static let stretch = 1 << 22

        /// Copies what of a parameter's values belongs to this process into a flat tensor of the share.
        func take(_ slot: Slot, from source: Tensor, into target: Tensor) throws {
            try Self.take(slot, from: source, into: target, share: share)
        }

        private static func take(_ slot: Slot, from source: Tensor, into target: Tensor, share: Range<Int>) throws {
            let range = slot.range.clamped(to: share)
            guard !range.isEmpty else { return }
            try target.slice(0, range.shifted(by: -share.lowerBound))
                .copy(from: source.reshape(-1).slice(0, range.shifted(by: -slot.range.lowerBound)))
        }

        /// One step.
        func update(_ options: AdamWOptions) throws {
            if let factored { return try update(factored, options) }
            guard let first else { return }
            guard let second else {
                if let mean = first.values { try orthogonalUpdate(mean, options) }
                return
            }
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

        /// Lets the mean follow the float32 values.
        func takeAverage(_ decay: Double) throws {
            try average?.multiplyInPlace(decay)
            try average?.addInPlace(master, scale: 1 - decay)
        }

        /// Makes what the model computes with of the float32 values.
        func publish() throws {
            if leafShare !== master { try leafShare.copy(from: master) }
            if layout != .whole, let leaves {
                try ranks.allGather(leafShare.clone(), into: leaves, for: "gathering new weights")
            }
        }

        /// All values of a flat tensor of which each process has its share; on all of them.
        func gathered(_ part: Tensor, over connection: ProcessGroup? = nil) throws -> Tensor {
            if layout == .whole || ranks.size == 1 { return part }
            let whole = try Tensor.empty([part.count * ranks.size], dtype: part.dtype, device: part.device)
            try (connection ?? ranks).allGather(part.contiguous(), into: whole, for: "gathering weights")
            return whole
        }

        /// The same on the first process alone, piece by piece; nil elsewhere.
        func collectedOnMain(_ part: Tensor) throws -> [Tensor]? {
            let name = "gathering the optimiser's state", patience = ProcessGroup.patience
            func gather(_ part: Tensor, _ group: ProcessGroup) throws -> Tensor? {
                let whole =
                    group.isMain
                    ? try Tensor.empty([part.count * group.size], dtype: part.dtype, device: part.device) : nil
                try group.gather(part.contiguous(), into: whole, for: name, timeout: patience)
                return whole
            }
            guard let whole = layout == .whole ? ranks.isMain ? part : nil : try gather(part, ranks) else { return nil }
            guard let pieces else { return [whole] }
            return try gather(whole, pieces).map { all in
                try (0..<pieces.size).map { try all.slice(0, $0 * whole.count..<($0 + 1) * whole.count) }
            }
        }

        /// A parameter's whole values, from what `collectedOnMain` gave.
        func value(_ slot: Slot, in parts: [Tensor]) throws -> Tensor {
            guard let partition = slot.parameter.partition else {
                return try parts[0].slice(0, slot.range).view(slot.shape)
            }
            return try whole(slot, partition, in: parts)
        }

        /// What there is of a parameter that lies in pieces: a number for each value, or for each `block` of a row.
        func whole(_ slot: Slot, _ partition: Partition, in parts: [Tensor], block: Int = 1) throws -> Tensor {
            let partition = partition.blocks(of: block)
            let whole = try Tensor.empty(partition.shape, dtype: parts[0].dtype, device: parts[0].device)
            guard let index = slots.firstIndex(where: { $0.parameter === slot.parameter }) else { return whole }
            for (rank, part) in parts.enumerated() {
                let shapes = slots.prefix(index + 1).map { $0.parameter.partition?.shape(of: rank) ?? $0.shape }
                guard let range = Self.ranges(shapes).last else { continue }
                let own = range.lowerBound / block..<range.upperBound / block
                try partition.place(part.slice(0, own).view(partition.shape(of: rank)), of: rank, in: whole)
            }
            return whole
        }
    }
}

extension Optimizer.Slot {
    /// This process's piece of whole values.
    func piece(of whole: Tensor) throws -> Tensor {
        // What was cut before stays as it is.
        guard let partition = parameter.partition, whole.shape == partition.shape else { return whole }
        return try partition.piece(of: whole, rank: partition.group.rank)
    }
}

extension Int {
    /// The next multiple of `unit`.
    func roundedUp(to unit: Int, adding more: Int = 0) -> Int { (self + more + unit - 1) / unit * unit }
}

extension Range<Int> {
    func shifted(by offset: Int) -> Range<Int> { lowerBound + offset..<upperBound + offset }
}
