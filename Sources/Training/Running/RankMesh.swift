internal import Models
internal import NN
internal import Torch

/// How the ranks of a run are arranged: neighbours divide matrices among themselves; of those, so many in a row deal out
/// experts; and all compute micro-batches of their own but those that compute one together.
struct RankMesh {
    let everyone: ProcessGroup
    /// Ranks with the same pieces of matrices, each with micro-batches of its own.
    let data: ProcessGroup
    /// Nil where matrices are whole.
    let tensor: TensorDivision?
    /// Nil where each rank has all experts.
    let experts: ExpertDivision?

    init(_ everyone: ProcessGroup, _ parallel: Recipe.Parallel) throws {
        self.everyone = everyone
        let size = everyone.size, ways = parallel.tensor, owners = parallel.expert
        let column = everyone.rank % ways, row = everyone.rank / ways, rows = size / ways
        func group(_ members: [Int], _ name: String) throws -> ProcessGroup {
            members.count == size ? everyone : try everyone.subgroup(members, named: name)
        }
        guard size > 1, !parallel.isPlain else {
            (data, tensor, experts) = (everyone, nil, nil)
            return
        }
        data = try group((0..<rows).map { $0 * ways + column }, "data")
        tensor =
            ways > 1
            ? TensorDivision(
                group: try everyone.subgroup((0..<ways).map { row * ways + $0 }, named: "tensor"), copies: data) : nil
        guard owners > 1 else {
            experts = nil
            return
        }
        let first = row / owners * owners
        experts = ExpertDivision(
            group: try everyone.subgroup((first..<first + owners).map { $0 * ways + column }, named: "experts"),
            pieces: try everyone.subgroup(
                (first..<first + owners).flatMap { row in (0..<ways).map { row * ways + $0 } }, named: "pieces"),
            copies: try everyone.subgroup(
                stride(from: row % owners, to: rows, by: owners).map { $0 * ways + column }, named: "copies"))
    }

    /// Whether ranks hold pieces of the model.
    var divides: Bool { tensor != nil || experts != nil }

    /// - Throws: `TrainingError.indivisible` for a model that cannot be divided like this.
    func require(_ store: ParameterStore, hasExperts: Bool) throws {
        var problems: [String] = []
        if let tensor {
            problems += store.divisible.compactMap { $0.obstacle(tensor: tensor.group.size) }
                .map { "parallel.tensor: \($0)" }
        }
        if let experts {
            if !hasExperts { problems.append("parallel.expert: the decoder has no experts") }
            problems += store.divisible.compactMap { $0.obstacle(experts: experts.group.size) }
                .map { "parallel.expert: \($0)" }
        }
        if !problems.isEmpty { throw TrainingError.indivisible(Array(problems.prefix(5))) }
    }

    /// - Throws: `TrainingError.indivisible` for a stage whose moments in 8 bits would lie in blocks that ranks divide, also
    ///   of adapters, which are as long as their matrices one way, and as their rank the other.
    func requireWholeBlocks(_ model: VisionLanguageModel, _ stage: Recipe.Stage) throws {
        guard divides else { return }
        let block = QuantizedMoments.block, key = "stages.\(stage.name).memory.moment_bits"
        if let lora = stage.lora, tensor != nil, !lora.settings.rank.isMultiple(of: block) {
            throw TrainingError.indivisible([
                "\(key): adapters of rank \(lora.settings.rank) have no whole blocks of \(block) moments in a row"
            ])
        }
        let selection = ParameterSelection(stage.train, of: model)
        try divide(model.store)
        defer { for part in model.store.divisible { part.unite() } }
        let problems = model.store.parameters.compactMap { parameter -> String? in
            guard let partition = parameter.partition, !partition.keepsWhole(block: block),
                stage.lora == nil ? selection.contains(parameter.name) : parameter.isLinear
            else { return nil }
            return "\(key): ranks would divide the blocks of \(block) moments of \(parameter.name) (\(partition.shape))"
        }
        if !problems.isEmpty { throw TrainingError.indivisible(Array(problems.prefix(5))) }
    }

    /// Says which pieces this rank has from now on; the values are still whole, see `cut`.
    func divide(_ store: ParameterStore) throws {
        guard divides else { return }
        for block in store.divisible { try block.divide(tensor: tensor, experts: experts) }
    }

    /// Leaves this rank its pieces of what is still whole.
    func cut(_ store: ParameterStore) throws {
        for parameter in store.parameters {
            guard let partition = parameter.partition, parameter.shape == partition.shape,
                partition.shape(of: partition.group.rank) != partition.shape
            else { continue }
            if parameter.quantized != nil {
                try parameter.cutQuantized(partition)
                continue
            }
            parameter.tensor = try withoutGradient {
                try partition.piece(of: parameter.tensor, rank: partition.group.rank)
            }
        }
    }

    /// The whole values of what lies in pieces and is not spread, by name; empty on all ranks but the first.
    func wholeWeights(_ store: ParameterStore) throws -> [String: Tensor] {
        var weights: [String: Tensor] = [:]
        try withoutGradient {
            for parameter in store.parameters where parameter.spread == nil {
                guard let whole = try parameter.partition?.gathered(parameter.tensor.detach()) else { continue }
                if everyone.isMain { weights[parameter.name] = whole }
            }
        }
        return weights
    }

    /// Makes the model whole again on every rank.
    func unite(_ store: ParameterStore) throws {
        guard divides else { return }
        try withoutGradient {
            // Below adapters of a run's only stage matrices in 4 bits stay as they are.
            for parameter in store.parameters.flatMap({ [$0] + ($0.adapter?.parameters ?? []) })
            where parameter.quantized == nil {
                if let whole = try parameter.partition?.gathered(parameter.tensor.detach()) { parameter.tensor = whole }
            }
        }
        for block in store.divisible { block.unite() }
    }
}
