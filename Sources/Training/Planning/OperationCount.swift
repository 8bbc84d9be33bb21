internal import Models

/// Floating-point operations of a forward and backward pass over one row. A multiplication and its addition are two.
public struct OperationCount: Sendable, Equatable, Codable {
    public var forward = 0.0
    public var backward = 0.0
    /// What activation checkpointing computes again.
    public var recomputed = 0.0

    /// Operations that the mathematics needs.
    public var model: Double { forward + backward }
    public var all: Double { model + recomputed }

    /// Matrix products of all parts and attention; norms, activations and losses are left out, as in the usual count.
    ///
    /// - Parameter isCheckpointed: whether the blocks of towers and decoder are computed again in the backward pass.
    public init(_ row: RowShape, _ model: ModelOutline, _ trained: TrainedShare, isCheckpointed: Bool) {
        // The backward pass of a product costs as much again for its input, and for its matrix where that learns.
        func add(_ cost: Double, learns: Double, flows: Double, isBlock: Bool) {
            forward += cost
            backward += cost * (learns + flows)
            if isBlock && isCheckpointed { recomputed += cost * max(flows, learns > 0 ? 1 : 0) }
        }
        let features = row.patches / model.patchesPerFeature

        let layers = model.towers.first?.layers ?? 0
        // Blocks behind the wanted features are not run.
        let towerMatrices = model.activeMatrices(.visionTower) { ($0.layer ?? 0) < layers }
        let classTokens = model.towers.map { Double($0.extraTokens) * row.segments }.max() ?? 0
        let towerFlow = trained.towerShare(layers: layers)
        add(
            2 * towerMatrices * (row.patches + classTokens), learns: trained.matrices[.visionTower] ?? 0,
            flows: towerFlow,
            isBlock: true)
        for tower in model.towers {
            let segment = row.patchSegment + Double(tower.extraTokens)
            let cost = 4 * row.segments * segment * segment * Double(tower.queryWidth * tower.layers)
            add(cost, learns: towerFlow, flows: towerFlow, isBlock: true)
        }
        add(
            2 * model.activeMatrices(.connector) * features, learns: trained.matrices[.connector] ?? 0,
            flows: trained.learns(.visionTower) ? 1 : 0, isBlock: false)

        guard let decoder = model.decoder else {
            add(
                2 * model.activeMatrices(.head) * row.pictures, learns: trained.matrices[.head] ?? 0, flows: 1,
                isBlock: false)
            return
        }
        let flow = trained.reachesDecoder ? 1.0 : 0
        add(
            2 * model.activeMatrices(.decoder) * row.tokens, learns: trained.matrices[.decoder] ?? 0, flows: flow,
            isBlock: true)
        // Causal: half of the pairs, in two products; gradients of both sides.
        let shape = decoder.shape
        add(
            2 * row.tokens * row.sampleTokens * Double(shape.queryWidth * shape.layers), learns: flow, flows: flow,
            isBlock: true)
        if let every = decoder.crossAttentionEvery {
            let matrices = model.activeMatrices(.crossAttention)
            let columnMatrices = model.activeMatrices(.crossAttention) {
                $0.name.contains("k_proj") || $0.name.contains("v_proj")
            }
            add(
                2 * ((matrices - columnMatrices) * row.tokens + columnMatrices * row.columns),
                learns: trained.matrices[.crossAttention] ?? 0, flows: flow, isBlock: true)
            add(
                4 * row.tokens * row.columns / max(1, row.samples) * Double(shape.queryWidth * (shape.layers / every)),
                learns: flow, flows: flow, isBlock: true)
        }
        let headFlow = trained.reachesDecoder ? 1.0 : 0
        let headMatrix = Double(decoder.hiddenSize * decoder.vocabularySize)
        let headLearns = decoder.hasTiedHead ? trained.learns(.embedding) : trained.learns(.head)
        add(2 * headMatrix * row.supervised, learns: headLearns ? 1 : 0, flows: headFlow, isBlock: false)
    }
}
