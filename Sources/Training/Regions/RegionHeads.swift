internal import Models
internal import NN
internal import Torch

/// Small heads that tell, from the features of pictures alone, what stands where: an auxiliary loss at every place of the
/// picture, as detectors have it (FCOS, Tian et al. 2019). The answers to a few questions say little about a picture;
/// this says what each part of it shows, and a model that starts from nothing sees after a fraction of the samples. The
/// heads are no part of the model.
///
/// Beside them, the attention of one layer can be told where to look (`look`): half of its heads should find, among the
/// places of the pictures, those of the object that the answer is about. Left to the answers alone, a fresh decoder
/// knows for long what a picture holds before it finds the one thing that is asked for.
final class RegionHeads {
    let store: ParameterStore
    /// The decoder's layer behind which places in the picture are told; the tower knows only distances.
    let layer: Int
    private let layers: Int
    private let featureNorm: RMSNorm
    private let featureHead: Linear
    private let decoderNorm: RMSNorm
    private let decoderHead: Linear
    /// Scores of the vocabulary's tokens: the model's own.
    private let tokenScores: (Tensor) throws -> Tensor
    private let askedNorm: RMSNorm
    private let askedHead: Linear

    static let prefix = "region_heads."

    private static let featureSizes = [
        RegionClasses.kinds, RegionClasses.colors, 4, RegionTargets.slots * RegionClasses.characters,
        RegionClasses.values, 2,
    ]
    /// Things in one question whose places are told.
    private static let things = 2
    private static let decoderSizes = [
        RegionClasses.kinds, RegionClasses.colors, RegionClasses.values, 4 * RegionTargets.steps,
        RegionTargets.tallies * (RegionTargets.mostCounted + 1),
        RegionTargets.margins * (RegionTargets.mostWritten + 1),
    ]
    private static let askedSizes = [
        things * 8 * RegionTargets.steps, things * RegionClasses.values, RegionTargets.orders * 2,
        RegionTargets.mostWritten + 1,
    ]

    /// - Parameters:
    ///   - layer: how many layers of the decoder come before the second look; half of them if nil.
    init(_ model: VisionLanguageModel, layer: Int?, seed: UInt64) throws {
        let hidden = model.decoder.configuration.hiddenSize
        self.layer = max(1, min(layer ?? model.decoder.layers.count / 2, model.decoder.layers.count))
        layers = model.decoder.layers.count
        store = ParameterStore(.random(seed: seed), device: model.store.device, writable: true)
        let scope = store.root["region_heads"]
        tokenScores = { try model.logits($0) }
        featureNorm = try RMSNorm(hidden, epsilon: 1e-6, scope["feature_norm"])
        featureHead = try Linear(hidden, Self.featureSizes.reduce(0, +), bias: true, scope["feature_head"])
        decoderNorm = try RMSNorm(hidden, epsilon: 1e-6, scope["decoder_norm"])
        decoderHead = try Linear(hidden, Self.decoderSizes.reduce(0, +), bias: true, scope["decoder_head"])
        askedNorm = try RMSNorm(hidden, epsilon: 1e-6, scope["asked_norm"])
        askedHead = try Linear(hidden, Self.askedSizes.reduce(0, +), bias: true, scope["asked_head"])
    }

    /// What the heads look at, noted during a forward pass.
    final class Observation {
        fileprivate var features: Tensor?
        fileprivate var hidden: Tensor?
        fileprivate var attention: (queries: Tensor, keys: Tensor)?
        fileprivate var asked: Tensor?
    }

    /// Makes `context` note what the heads look at.
    /// - Parameter looking: whether attention is noted, too.
    func observation(of context: ForwardContext, looking: Bool) -> Observation {
        let noted = Observation()
        let name = "text.layer\(layer - 1)", asked = "text.layer\(layer)"
        context.observer = { seen, value in
            if seen == "vision.features" { noted.features = value } else if seen == name { noted.hidden = value }
            if looking, seen == asked { noted.asked = value }
        }
        // The layer that comes after places are told.
        if looking, layer < layers { context.attentionProbe = (layer, { noted.attention = ($0, $1) }) }
        return noted
    }

    /// What the heads tell, for logs.
    enum Lesson: String, CaseIterable {
        // Of the tower's features, of the decoder's places, and of tokens that look.
        case kind, color, edges, writing, worth, begins
        case placedKind = "placed_kind", placedColor = "placed_color", value, place, count, name
        case lettersBefore = "letters_before"
        case look, asked, askedValue = "asked_value", order, lettersWritten = "letters_written"

        /// Whether it is told of tokens that look, not of places.
        var isOfLooks: Bool {
            [.look, .asked, .askedValue, .order, .lettersWritten].contains(self)
        }
    }

    /// The summed loss of attention that looks elsewhere, and for how many tokens: minus the logarithm of the part of a
    /// head's attention to pictures that falls on the right places, mean over the heads that are taught.
    func lookLoss(_ noted: Observation, _ input: ModelInput, _ targets: [RegionTargets]) throws -> Tensor? {
        guard let (queries, keys) = noted.attention, let rows = input.visualRows, input.visualFeatures == nil,
            targets.contains(where: { !$0.looks.isEmpty })
        else { return nil }
        let heads = queries.size(1), groups = keys.size(1), size = queries.size(2), device = queries.device
        let taught = max(1, heads / 2)
        var total: Tensor?
        var firstRow = 0, firstFeature = 0
        for target in targets {
            defer { (firstRow, firstFeature) = (firstRow + target.rowCount, firstFeature + target.count) }
            if target.looks.isEmpty { continue }
            let count = target.looks.count
            let asking = try Tensor(target.looks.map { $0.row + firstRow }).to(device)
            let places = try rows.slice(0, firstFeature..<firstFeature + target.count).to(device)
            // Heads of a group share their key: [groups, heads of a group × tokens, features].
            let q = try queries.indexSelect(0, asking).reshape(count, groups, heads / groups, size).permute(1, 2, 0, 3)
            let k = try keys.indexSelect(0, places).permute(1, 2, 0)
            let scores =
                try q.reshape(groups, heads / groups * count, size).matmul(k).to(.float32)
                .reshape(heads, count, target.count).slice(0, 0..<taught) * (1 / Double(size).squareRoot())
            var bias = Array(repeating: Float(-1e9), count: taught * count * target.count)
            for head in 0..<taught {
                for (index, look) in target.looks.enumerated() {
                    for feature in look.features[head % look.features.count] {
                        bias[(head * count + index) * target.count + feature] = 0
                    }
                }
            }
            let right = try scores + Tensor(bias, shape: [taught, count, target.count]).to(device)
            let loss = try (scores.logSumExp([2]) - right.logSumExp([2])).sum() * (1 / Double(taught))
            total = try total.map { try $0 + loss } ?? loss
        }
        return total
    }

    /// The summed losses of telling, where an answer begins and behind the layer that looks, what it will need: where the
    /// things stand that are asked about, in features' sides from the picture's corner and in parts of the picture's,
    /// whose size is known by then; what they are worth; which of two lies further right or down, or is worth more; and
    /// for a line that is read, how much of it is written already.
    func askedLosses(_ noted: Observation, _ targets: [RegionTargets]) throws -> [(Lesson, Tensor)] {
        guard let hidden = noted.asked else { return [] }
        var rows: [Int] = [], places: [Int] = [], values: [Int] = [], orders: [Int] = [], written: [Int] = []
        var firstRow = 0
        func padded(_ values: [Int], to count: Int) -> [Int] {
            Array((values + Array(repeating: RegionTargets.untold, count: count)).prefix(count))
        }
        for target in targets {
            for look in target.looks {
                rows.append(look.row + firstRow)
                let told = zip(look.places, look.parts).prefix(Self.things).flatMap { $0 + $1 }
                places += padded(told, to: Self.things * 8)
                values += padded(look.values, to: Self.things)
                orders += look.order
                written.append(look.written)
            }
            firstRow += target.rowCount
        }
        let isTold = [places, values, orders, written].map { $0.contains { $0 != RegionTargets.untold } }
        guard isTold.contains(true) else { return [] }
        let scores = try askedHead(askedNorm(hidden.indexSelect(0, Tensor(rows).to(hidden.device)))).to(.float32)
            .split(Self.askedSizes, dimension: 1)
        let lessons: [(lesson: Lesson, classes: Int, targets: [Int], weight: Double)] = [
            (.asked, RegionTargets.steps, places, 0.125), (.askedValue, RegionClasses.values, values, 2),
            // Of few tokens, and one bit each, of which most of the answer is made.
            (.order, 2, orders, 8), (.lettersWritten, RegionTargets.mostWritten + 1, written, 0.5),
        ]
        return try lessons.indices.filter { isTold[$0] }.map { index in
            let (lesson, classes, targets, weight) = lessons[index]
            return (
                lesson,
                try scores[index].reshape(-1, classes).crossEntropy(
                    Tensor(targets).to(hidden.device), reduction: .sum, ignore: RegionTargets.untold) * weight
            )
        }
    }

    /// Summed losses over the features of all pictures of a packed input; empty where nothing is told.
    func losses(_ noted: Observation, _ input: ModelInput, _ targets: [RegionTargets]) throws -> [(Lesson, Tensor)] {
        let all = JoinedTargets(targets)
        guard let features = noted.features, !all.foreground.isEmpty else { return [] }
        precondition(features.size(0) == all.count, "one target a feature")
        let device = features.device
        var losses: [(Lesson, Tensor)] = []
        func tensor(_ values: [Int]) throws -> Tensor { try Tensor(values).to(device) }
        func classify(_ lesson: Lesson, _ scores: Tensor, _ classes: [Int], weight: Double = 1) throws {
            if !classes.contains(where: { $0 != RegionTargets.untold }) { return }
            let sum = try scores.crossEntropy(tensor(classes), reduction: .sum, ignore: RegionTargets.untold)
            losses.append((lesson, try sum * weight))
        }

        let count = all.foreground.count, told = all.foreground + all.background
        let seen = try featureHead(featureNorm(features.indexSelect(0, tensor(told)))).to(.float32)
            .split(Self.featureSizes, dimension: 1)
        try classify(.kind, seen[0], told.map { all.kinds[$0] })
        try classify(.color, seen[1], told.map { all.colors[$0] })
        let edges = try Tensor(all.foreground.flatMap { all.edges[$0 * 4..<$0 * 4 + 4] }, shape: [count, 4]).to(device)
        losses.append((.edges, try (seen[2].slice(0, 0..<count) - edges).abs().sum() * 0.5))
        try classify(
            .writing, seen[3].reshape(-1, RegionClasses.characters),
            told.flatMap { all.characters[$0 * RegionTargets.slots..<($0 + 1) * RegionTargets.slots] })
        try classify(.worth, seen[4], told.map { all.values[$0] })
        try classify(.begins, seen[5], told.map { all.begins[$0] })

        // In the decoder only what stands in the sequence can be looked at; features of gated cross-attention do not.
        guard let hidden = noted.hidden, let rows = input.visualRows, input.visualFeatures == nil else { return losses }
        let placed = try rows.to(device).indexSelect(0, tensor(all.foreground))
        let places = try decoderNorm(hidden.indexSelect(0, placed))
        let read = try decoderHead(places).to(.float32).split(Self.decoderSizes, dimension: 1)
        try classify(.placedKind, read[0], all.foreground.map { all.kinds[$0] })
        try classify(.placedColor, read[1], all.foreground.map { all.colors[$0] })
        try classify(.value, read[2], all.foreground.map { all.values[$0] })
        try classify(
            .place, read[3].reshape(-1, RegionTargets.steps),
            all.foreground.flatMap { all.places[$0 * 4..<$0 * 4 + 4] }, weight: 0.5)
        let tallies = RegionTargets.tallies
        try classify(
            .count, read[4].reshape(-1, RegionTargets.mostCounted + 1),
            all.foreground.flatMap { all.counts[$0 * tallies..<($0 + 1) * tallies] })
        let named = all.foreground.indices.filter { all.names[all.foreground[$0]] != RegionTargets.untold }
        if !named.isEmpty {
            let scores = try tokenScores(places.indexSelect(0, tensor(named))).to(.float32)
            try classify(.name, scores, named.map { all.names[all.foreground[$0]] }, weight: 4)
        }
        let margins = RegionTargets.margins
        try classify(
            .lettersBefore, read[5].reshape(-1, RegionTargets.mostWritten + 1),
            all.foreground.flatMap { all.written[$0 * margins..<($0 + 1) * margins] }, weight: 0.5)
        return losses
    }
}

/// The targets of several sequences behind one another, as the features of a packed input lie.
private struct JoinedTargets {
    var kinds: [Int] = [], colors: [Int] = [], values: [Int] = [], characters: [Int] = [], places: [Int] = []
    var counts: [Int] = [], begins: [Int] = [], written: [Int] = [], names: [Int] = []
    var edges: [Float] = []
    var foreground: [Int] = [], background: [Int] = []
    var count: Int { kinds.count }

    init(_ targets: [RegionTargets]) {
        for target in targets {
            foreground += target.foreground.map { $0 + count }
            background += target.background.map { $0 + count }
            kinds += target.kinds
            colors += target.colors
            values += target.values
            characters += target.characters
            places += target.places
            counts += target.counts
            begins += target.begins
            written += target.written
            names += target.names
            edges += target.edges
        }
    }
}
