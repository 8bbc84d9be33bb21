internal import Models

/// What a pass over one row keeps for its backward pass, and what the backward pass needs besides: bytes, layer by layer.
///
/// The terms follow the operations of `DecoderLayer`, `VisionTransformerBlock` and `Qwen2VisionTower`, and what each of
/// them saves. `omma check` measures the same row, and a test compares the two.
struct Activations {
    /// A part of the pass, in the order of the forward pass.
    struct Step {
        var kept: Double
        /// Gradients of parameters that its backward pass gives.
        var gradients: Double
        /// Held only while its backward pass runs.
        var work: Double
    }

    private(set) var steps: [Step] = []
    private let element: Double
    private let isFused: Bool

    /// - Parameters:
    ///   - element: bytes of the type that the passes compute in.
    ///   - isFused: whether the CPU's kernels run, which keep less than libtorch's operations one by one.
    init(
        _ row: RowShape, _ model: ModelOutline, _ trained: TrainedShare, element: Int, isFused: Bool,
        isCheckpointed: Bool
    ) {
        self.element = Double(element)
        self.isFused = isFused
        for tower in model.towers { addTower(tower, row, model, trained, isCheckpointed: isCheckpointed) }
        addConnector(row, model, trained)
        guard let decoder = model.decoder else { return }
        addDecoder(decoder, row, model, trained, isCheckpointed: isCheckpointed)
        addHead(decoder, row, model, trained)
    }

    /// The most that is held at a time beside weights and optimiser: what is kept falls while gradients grow.
    ///
    /// - Parameters:
    ///   - gradientShare: the part of the gradients that is this device's.
    ///   - leave: whether gradients are handed on layer by layer instead of all at the end.
    func peak(gradientShare: Double = 1, leave: Bool = false) -> Double {
        var kept = self.kept, gradients = 0.0
        var result = kept
        for step in steps.reversed() {
            gradients = (leave ? 0 : gradients) + step.gradients * gradientShare
            result = max(result, kept + gradients + step.work)
            kept -= step.kept
        }
        return result
    }

    var kept: Double { steps.reduce(0) { $0 + $1.kept } }

    private mutating func add(
        kept: Double, parameters: Double, work: Double, tokens: Double, width: Int, isCheckpointed: Bool
    ) {
        let input = tokens * Double(width) * element
        steps.append(
            isCheckpointed
                ? Step(kept: input, gradients: parameters * element, work: work + kept)
                : Step(kept: kept, gradients: parameters * element, work: work))
    }

    // MARK: - parts

    private mutating func addTower(
        _ shape: TransformerShape, _ row: RowShape, _ model: ModelOutline, _ trained: TrainedShare, isCheckpointed: Bool
    ) {
        let share = trained.towerShare(layers: shape.layers)
        guard share > 0, row.patches > 0 else { return }
        let segment = row.patchSegment + Double(shape.extraTokens), tokens = segment * row.segments
        let hidden = Double(shape.hiddenSize), parameters = Double(trained.counts[.visionTower]?.learning ?? 0)
        let layers = max(1, Int((share * Double(shape.layers)).rounded()))
        let perLayer = parameters / Double(layers * model.towers.count)
        if share >= 1 {
            let pixels = row.patches * Double(shape.patchLength) * element
            steps.append(Step(kept: pixels, gradients: 0, work: 0))
        }
        for _ in 0..<layers {
            add(
                kept: block(shape, tokens: tokens, segment: segment, hasLayerNorm: true, learns: true),
                parameters: perLayer,
                work: work(shape, tokens: tokens, segment: segment), tokens: tokens, width: shape.hiddenSize,
                isCheckpointed: isCheckpointed)
        }
        if !isCheckpointed { steps.append(Step(kept: tokens * hidden * element, gradients: 0, work: 0)) }
    }

    private mutating func addConnector(_ row: RowShape, _ model: ModelOutline, _ trained: TrainedShare) {
        guard trained.reachesVision, row.patches > 0 else { return }
        let features = row.patches / model.patchesPerFeature
        // Inputs and outputs of all its layers.
        let matrices = model.entries.filter { $0.part == .connector && $0.shape.count == 2 && $0.isMatrix }
        let widths = matrices.reduce(0) { $0 + $1.shape[0] + $1.shape[1] }
        let last = matrices.last?.shape[0] ?? 0
        let kept = features * Double(widths - last) * element
        steps.append(
            Step(kept: kept, gradients: Double(trained.counts[.connector]?.learning ?? 0) * element, work: kept))
    }

    private mutating func addDecoder(
        _ decoder: DecoderConfiguration, _ row: RowShape, _ model: ModelOutline, _ trained: TrainedShare,
        isCheckpointed: Bool
    ) {
        guard trained.reachesDecoder else { return }
        let shape = decoder.shape, layers = Double(shape.layers)
        let embedding = decoder.hasTiedHead ? 0 : Double(trained.counts[.embedding]?.learning ?? 0)
        steps.append(Step(kept: 0, gradients: embedding * element, work: 0))
        let parameters = Double(trained.counts[.decoder]?.learning ?? 0) / layers, learns = trained.learns(.decoder)
        let crossing = decoder.crossAttentionEvery.map { layers / Double($0) } ?? 0
        for layer in 0..<shape.layers {
            var kept = block(shape, tokens: row.tokens, segment: row.sampleTokens, hasLayerNorm: false, learns: learns)
            var gradients = parameters
            if let experts = decoder.experts, decoder.hasExperts(layer) {
                // Each token is computed by several experts, and gathered for them.
                let active = Double(experts.active), inner = Double(shape.feedForwardSize * (isFused ? 3 : 4))
                kept += row.tokens * element * ((active - 1) * inner + active * 2 * Double(shape.hiddenSize))
            }
            if decoder.hasCrossAttention(layer) {
                let hidden = Double(shape.hiddenSize)
                kept += element * (row.tokens * (3 * hidden + 2 * Double(shape.queryWidth)))
                kept += element * row.columns * 2 * Double(shape.keyWidth)
                gradients += Double(trained.counts[.crossAttention]?.learning ?? 0) / max(1, crossing)
            }
            add(
                kept: kept, parameters: gradients, work: work(shape, tokens: row.tokens, segment: row.sampleTokens),
                tokens: row.tokens, width: shape.hiddenSize, isCheckpointed: isCheckpointed)
        }
    }

    private mutating func addHead(
        _ decoder: DecoderConfiguration, _ row: RowShape, _ model: ModelOutline, _ trained: TrainedShare
    ) {
        let hidden = Double(decoder.hiddenSize), scores = row.supervised * Double(decoder.vocabularySize)
        // Logarithms of probabilities are kept; their gradient and that of the scores come on top.
        let learning =
            decoder.hasTiedHead ? trained.counts[.embedding]?.learning : trained.counts[.head]?.learning
        steps.append(
            Step(
                kept: element * hidden * (row.tokens * 2 + row.supervised), gradients: 0, work: 0))
        steps.append(Step(kept: 0, gradients: Double(learning ?? 0) * element, work: scores * element))
        steps.append(Step(kept: scores * 4, gradients: 0, work: scores * 8))
    }

    // MARK: - blocks

    /// What a block keeps.
    ///
    /// - Parameter learns: whether its matrices learn; a frozen one needs no input for its backward pass.
    private func block(
        _ shape: TransformerShape, tokens: Double, segment: Double, hasLayerNorm: Bool, learns: Bool
    ) -> Double {
        let hidden = Double(shape.hiddenSize), queries = Double(shape.queryWidth), keys = Double(shape.keyWidth)
        let inner = Double(shape.feedForwardSize)
        // Input and result of both norms. One by one, libtorch's RMS norm keeps its float32 input and the normed values
        // besides.
        var elements = (learns ? 4 : 2) * hidden, bytes = 8.0
        if !isFused && !hasLayerNorm { bytes += 8 * hidden }
        elements += 2 * queries + 2 * keys
        if shape.hasQueryKeyNorm { elements += 2 * queries + 2 * keys }
        if !isFused && learns { elements += queries }
        elements += (shape.isGated ? (isFused ? 2 : 3) : 1) * inner + (learns ? inner : 0)
        if shape.hasLayerScale && learns { elements += 2 * hidden }
        bytes += 4 * Double(shape.heads)
        return tokens * (elements * element + bytes) + scores(shape, tokens: tokens, segment: segment)
    }

    /// Attention's probabilities, which the CPU's kernel for short segments keeps.
    private func scores(_ shape: TransformerShape, tokens: Double, segment: Double) -> Double {
        guard isFused, element == 2, shape.isRotary, segment <= 1024, segment > 0 else { return 0 }
        let padded = (segment / 16).rounded(.up) * 16
        return tokens / segment * Double(shape.heads) * padded * padded * element
    }

    /// What a block's backward pass holds at most beside what is kept: gradients of the feed-forward part's inner values.
    private func work(_ shape: TransformerShape, tokens: Double, segment: Double) -> Double {
        let inner = Double(shape.feedForwardSize), hidden = Double(shape.hiddenSize)
        return tokens * element * ((shape.isGated ? 3 : 2) * inner + 2 * hidden)
    }
}
