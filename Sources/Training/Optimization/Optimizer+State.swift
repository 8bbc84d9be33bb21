internal import NN
internal import Safetensors
internal import Torch

extension Optimizer {
    /// Masters and moments of all that learns, by name: the same however they are spread. On ranks other than 0 empty
    /// where each holds a share.
    func tensorSources() throws -> [Safetensors.TensorSource] {
        var sources: [(place: (Int, Int), source: Safetensors.TensorSource)] = []
        var numbers: Set<Int> = []
        for group in groups {
            if numbers.insert(group.number).inserted {
                sources.append(((group.number, -2), .init(name: "step.\(group.number)", tensor: group.step)))
            }
            for (prefix, moments) in [("first", group.first), ("second", group.second)] {
                for code in moments?.codes ?? [] {
                    guard let parts = try group.collectedOnMain(code.tensor) else { continue }
                    sources += try group.slots.map { slot in
                        let whole = try slot.parameter.partition.map {
                            try group.whole(slot, $0, in: parts, block: group.block(of: code.tensor)).reshape(-1)
                        }
                        return (
                            (group.number, slot.position),
                            .init(
                                name: "\(prefix).\(code.name).\(slot.parameter.name)",
                                tensor: try whole ?? parts[0].slice(0, group.range(of: slot, in: code.tensor)))
                        )
                    }
                }
            }
            for (slot, moments) in zip(group.slots, group.factored ?? []) {
                sources += moments.parts.map { name, tensor in
                    ((group.number, slot.position), .init(name: "\(name).\(slot.parameter.name)", tensor: tensor))
                }
            }
            for (prefix, part) in group.flat {
                guard let parts = try group.collectedOnMain(part) else { continue }
                for slot in group.slots {
                    let value = try group.value(slot, in: parts)
                    sources.append(
                        (
                            (group.number, slot.position),
                            .init(name: "\(prefix).\(slot.parameter.name)", tensor: value)
                        ))
                }
            }
        }
        // In the order that they have when nothing is spread; those of one place stay in theirs.
        return sources.enumerated().sorted { a, b in
            a.element.place == b.element.place ? a.offset < b.offset : a.element.place < b.element.place
        }.map(\.element.source)
    }

    /// Takes moments and steps back from what `tensorSources` wrote; masters come in when the optimiser is made.
    func restore(_ tensor: (String) throws -> Tensor?) throws {
        func stored(_ name: String, _ shape: [Int]) throws -> Tensor {
            guard let source = try tensor(name), source.shape == shape else {
                let isSmall = name.contains(".codes.") || name.contains(".scales.")
                throw CheckpointError.damaged(
                    folder: "the optimiser state",
                    reason: "\(name) is missing or misshapen"
                        + (isSmall ? "; moments in 8 bits of builds before December 2026 cannot be gone on from" : ""))
            }
            return source
        }
        for group in groups {
            try group.step.copy(from: stored("step.\(group.number)", group.step.shape))
            for (prefix, moments) in [("first", group.first), ("second", group.second)] {
                for code in moments?.codes ?? [] {
                    let start = code.tensor.count * (group.share.lowerBound / group.share.count)
                    for slot in group.slots {
                        let place = group.range(of: slot, in: code.tensor)
                        let name = "\(prefix).\(code.name).\(slot.parameter.name)"
                        let source: Tensor
                        if let partition = slot.parameter.partition?.blocks(of: group.block(of: code.tensor)) {
                            source = try partition.piece(
                                of: stored(name, [partition.shape.reduce(1, *)]).view(partition.shape),
                                rank: partition.group.rank
                            ).reshape(-1)
                        } else {
                            source = try stored(name, [place.count])
                        }
                        let own = place.clamped(to: start..<start + code.tensor.count)
                        guard !own.isEmpty else { continue }
                        try code.tensor.slice(0, own.shifted(by: -start))
                            .copy(from: source.slice(0, own.shifted(by: -place.lowerBound)))
                    }
                }
            }
            for (slot, moments) in zip(group.slots, group.factored ?? []) {
                for (name, tensor) in moments.parts {
                    try tensor.copy(from: stored("\(name).\(slot.parameter.name)", tensor.shape))
                }
            }
            for slot in group.slots {
                for (prefix, part) in group.flat where prefix != "master" {
                    let whole = try stored("\(prefix).\(slot.parameter.name)", slot.parameter.wholeShape)
                    try group.take(slot, from: slot.piece(of: whole), into: part)
                }
            }
        }
    }

    /// Means of the float32 values over the steps, by name; empty where none are kept and, where each process holds a
    /// share, on all ranks but 0.
    func averages() throws -> [String: Tensor] {
        var averages: [String: Tensor] = [:]
        for group in groups {
            guard let average = group.average, let parts = try group.collectedOnMain(average) else { continue }
            for slot in group.slots { averages[slot.parameter.name] = try group.value(slot, in: parts) }
        }
        return averages
    }

    /// The whole weights of blocks that are spread, by name, where they lie in pieces, too; empty on all ranks but 0.
    func spreadWeights() throws -> [String: Tensor] {
        var weights: [String: Tensor] = [:]
        try withoutGradient {
            for block in spreadBlocks {
                _ = try block.gather(isBackward: false)
                for parameter in block.parameters where parameter.quantized == nil {
                    // Ranks with the same pieces do the same: the first of them is the one that writes.
                    let partition = parameter.partition.flatMap { $0.copies.isMain ? $0 : nil }
                    let whole = try partition?.gathered(parameter.tensor.detach())
                    // Together they may be more than a device holds.
                    if everyone.isMain { weights[parameter.name] = try (whole ?? parameter.tensor).to(.cpu) }
                }
                try block.free()
            }
        }
        return weights
    }
}

extension Optimizer.Group {
    /// What is stored parameter by parameter: masters, moments in float32, and means.
    fileprivate var flat: [(prefix: String, tensor: Tensor)] {
        [("master", master)] + (first?.values.map { [("first", $0)] } ?? [])
            + (second?.values.map { [("second", $0)] } ?? []) + (average.map { [("average", $0)] } ?? [])
    }

    /// For how many values there is a number in what 8-bit moments are made of, of which this is the process's share.
    fileprivate func block(of codes: Tensor) -> Int { share.count / max(1, codes.count) }

    /// Where a parameter's 8-bit moments lie in those of the whole group, in whole blocks.
    ///
    /// - Parameter codes: this process's share: a number for each value, or for each block.
    fileprivate func range(of slot: Optimizer.Slot, in codes: Tensor) -> Range<Int> {
        let values = block(of: codes)
        return slot.range.lowerBound / values..<slot.range.upperBound.roundedUp(to: QuantizedMoments.block) / values
    }
}
