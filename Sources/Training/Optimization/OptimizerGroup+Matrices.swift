internal import NN
internal import Torch

/// Steps that look at whole matrices, wherever their values lie: each process brings together what it needs, and changes
/// its own share of its own pieces.
extension Optimizer.Group {
    /// A step of Adafactor. Every process follows all gradients, so that all know the same means.
    func update(_ factored: [FactoredMoments], _ options: AdamWOptions) throws {
        try step.addInPlace(.scalar(1, device: step.device))
        let number = Int(try step.item())
        try decay(options)
        let gradients = try gathered(gradient)
        for (slot, moments) in zip(slots, factored) {
            let piece = try gradients.slice(0, slot.range).view(slot.shape)
            let whole = try slot.parameter.partition?.gathered(piece) ?? piece
            try apply(moments.update(whole, step: number), to: slot, rate: options.rate)
        }
    }

    /// A step of Muon. Matrices of which a process has nothing are left to others.
    func orthogonalUpdate(_ mean: Tensor, _ options: AdamWOptions) throws {
        try OrthogonalMomentum.follow(mean, gradient)
        try decay(options)
        // All matrices of a model at once would need as much memory as a moment.
        let directions = layout == .whole ? nil : try gathered(OrthogonalMomentum.direction(mean, gradient))
        let own = slots.filter { $0.isInPieces || !$0.range.clamped(to: share).isEmpty }
        try OrthogonalMomentum.updates(own.map(\.parameter.wholeShape)) { index in
            let slot = own[index]
            func part(_ flat: Tensor) throws -> Tensor { try flat.slice(0, slot.range).view(slot.shape) }
            let piece = try directions.map(part) ?? OrthogonalMomentum.direction(part(mean), part(gradient))
            return slot.isInPieces ? try slot.parameter.partition?.gathered(piece) ?? piece : piece
        } apply: { index, update in
            try apply(update, to: own[index], rate: options.rate)
        }
    }

    private func decay(_ options: AdamWOptions) throws {
        guard options.weightDecay > 0 else { return }
        try master.multiplyInPlace(1 - options.rate * options.weightDecay)
    }

    /// Takes from the float32 values what of a whole update belongs to this process.
    private func apply(_ update: Tensor, to slot: Optimizer.Slot, rate: Double) throws {
        let range = slot.range.clamped(to: share)
        guard !range.isEmpty else { return }
        let part = try slot.piece(of: update).reshape(-1).slice(0, range.shifted(by: -slot.range.lowerBound))
        try master.slice(0, range.shifted(by: -share.lowerBound)).addInPlace(part, scale: -rate)
    }
}

extension Optimizer.Slot {
    /// Whether several processes have parts of the matrix, and none has all of it.
    fileprivate var isInPieces: Bool {
        guard let partition = parameter.partition else { return false }
        let whole = partition.shape[partition.dimension]
        return partition.ranges.contains { ranges in
            let count = ranges.reduce(0) { $0 + $1.count }
            return count > 0 && count < whole
        }
    }
}
