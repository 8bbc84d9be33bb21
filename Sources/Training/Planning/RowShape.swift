internal import Models

/// One row of a batch: what a forward and backward pass works on at a time.
public struct RowShape: Sendable, Equatable, Codable {
    public var samples: Double
    /// Of the decoder, those of pictures included.
    public var tokens: Double
    /// Tokens whose prediction counts.
    public var supervised: Double
    public var pictures: Double
    /// Of the tower, without class tokens.
    public var patches: Double
    /// Patches that attend to each other.
    public var patchSegment: Double
    /// What gated cross-attention sees.
    public var columns: Double

    /// Tokens that attend to each other.
    var sampleTokens: Double { tokens / max(1, samples) }
    /// Tiles, or pictures where they are not cut.
    var segments: Double { patchSegment > 0 ? patches / patchSegment : 0 }

    /// What a stage says about its rows; what it does not say is assumed to be full, with one picture a sample.
    public init(_ stage: Recipe.Stage, _ model: ModelOutline) {
        let expect = stage.expect
        tokens = expect?.tokens ?? Double(stage.batch.tokens)
        samples = expect?.samples ?? stage.batch.maxSamples.map(Double.init) ?? 1
        // An encoder's tokens are its patches.
        let assumed = model.decoder == nil ? stage.batch.tokens : stage.batch.maxPatches ?? model.patchesPerTile ?? 0
        patches = model.towers.isEmpty ? 0 : expect?.patches ?? Double(assumed)
        pictures = patches > 0 ? expect?.pictures ?? samples : 0
        patchSegment = Double(model.patchesPerTile ?? 0)
        if patchSegment == 0, pictures > 0 { patchSegment = patches / pictures }
        let features = patches / model.patchesPerFeature
        // The thumbnail of each picture stands in the sequence.
        let thumbnails = pictures * Double(model.patchesPerTile ?? 0) / model.patchesPerFeature
        columns =
            switch model.fusion {
            case .sequence: 0
            case .crossAttention: features
            case .hybrid: max(0, features - thumbnails)
            }
        let placed = model.fusion == .sequence ? features : model.fusion == .hybrid ? thumbnails : 0
        supervised = model.decoder == nil ? 0 : expect?.supervised ?? max(1, tokens - placed)
    }

    /// The row of sequences that were packed.
    init(_ sequences: [ProcessedSequence], _ model: ModelOutline) {
        self.init(sequences.reduce(SampleSize()) { $0 + SampleSize($1) }, model)
    }

    /// The row of samples of this size together.
    init(_ size: SampleSize, _ model: ModelOutline) {
        samples = Double(size.samples)
        tokens = Double(size.tokens)
        supervised = Double(size.supervised)
        pictures = Double(size.pictures)
        patches = Double(size.patches)
        columns = Double(size.columns)
        patchSegment = model.patchesPerTile.map(Double.init) ?? patches / max(1, pictures)
    }
}
