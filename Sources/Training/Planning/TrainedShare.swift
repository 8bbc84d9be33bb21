internal import Models
internal import NN

/// What of a model a stage trains, as far as costs depend on it.
public struct TrainedShare: Sendable {
    /// Parameters that learn and those that do not, by part.
    private(set) var counts: [ModelPart: (learning: Int, all: Int)] = [:]
    /// Elements of matrices that learn, as parts of all that a token meets.
    private(set) var matrices: [ModelPart: Double] = [:]
    /// The first layer of the towers that learns anything; nil where none does. -1 for what stands before the layers.
    private(set) var firstTowerLayer: Int?
    private var hasAdapters = false
    private var factorCount = 0
    /// Values of matrices that are held in 4 bits, and of the largest one.
    private(set) var quantized = (all: 0, largest: 0)
    /// Adafactor's means; nil where AdamW learns.
    private(set) var factors: Int?
    private var matrixCount = 0
    /// Values that Muon learns, which have one moment.
    private(set) var singleMoments = 0
    /// Bytes of one of AdamW's two moments.
    private(set) var momentSize = 4.0
    /// Whether a mean of what learns is kept beside it.
    private(set) var hasAverage = false

    /// What is in the memory of the CPU beside the GPUs.
    private(set) var offload = Recipe.Memory.Offload.none

    /// - Parameters:
    ///   - stage: whose `train`, or else `lora`, says what learns.
    public init(_ stage: Recipe.Stage, of model: ModelOutline) {
        if let lora = stage.lora {
            // Gradients flow as if the matrices learned, but only the adapters get any.
            self.init(lora.on.isEmpty ? ["all"] : lora.on, of: model, adapters: lora)
        } else {
            self.init(stage.train, of: model)
        }
        hasAverage = stage.average != nil
        offload = stage.memory.offload
        factors = stage.optimizer == .adafactor ? factorCount : nil
        singleMoments = stage.optimizer == .muon ? matrixCount : 0
        if stage.memory.momentBits == 8 { momentSize = 1 + 2 / Double(QuantizedMoments.block) }
    }

    /// - Parameter adapters: what learns instead of the matrices.
    init(_ patterns: [String], of model: ModelOutline, adapters: Recipe.LowRank? = nil) {
        let parts = Dictionary(model.entries.map { ($0.name, $0.part) }) { first, _ in first }
        let selection = ParameterSelection(patterns) { parts[$0] ?? .other }
        if let adapters {
            let settings = adapters.settings
            hasAdapters = true
            for entry in model.entries {
                counts[entry.part, default: (0, 0)].all += entry.count
                guard entry.shape.count == 2, entry.isMatrix, selection.contains(entry.name), entry.part != .head else {
                    continue
                }
                counts[entry.part, default: (0, 0)].learning +=
                    settings.rank * (entry.shape[0] + entry.shape[1])
                    + (settings.isWeightDecomposed ? entry.shape[0] : 0)
                matrixCount += settings.rank * (entry.shape[0] + entry.shape[1])
                factorCount +=
                    settings.rank + entry.shape[1] + entry.shape[0] + settings.rank
                    + (settings.isWeightDecomposed ? entry.shape[0] : 0)
                if adapters.baseBits != nil, entry.isInBlock {
                    quantized = (quantized.all + entry.count, max(quantized.largest, entry.count))
                }
                if entry.part == .visionTower { firstTowerLayer = min(firstTowerLayer ?? .max, entry.layer ?? -1) }
            }
            return
        }
        for entry in model.entries {
            let learns = !entry.isConstant && selection.contains(entry.name)
            counts[entry.part, default: (0, 0)].all += entry.count
            if learns {
                counts[entry.part, default: (0, 0)].learning += entry.count
                factorCount += FactoredMoments.count(entry.shape)
                if entry.shape.count == 2, entry.isMatrix, entry.part != .embedding, entry.part != .head {
                    matrixCount += entry.count
                }
                if entry.part == .visionTower {
                    firstTowerLayer = min(firstTowerLayer ?? .max, entry.layer ?? -1)
                }
            }
        }
        for part in counts.keys {
            let all = model.activeMatrices(part)
            matrices[part] = all > 0 ? model.activeMatrices(part) { selection.contains($0.name) } / all : 0
        }
    }

    /// Those of the model itself; adapters are none.
    var learningWeights: Int { hasAdapters ? 0 : learning }
    public var learning: Int { counts.values.reduce(0) { $0 + $1.learning } }
    public var all: Int { counts.values.reduce(0) { $0 + $1.all } }
    func learns(_ part: ModelPart) -> Bool { (counts[part]?.learning ?? 0) > 0 }

    /// Whether gradients flow out of the decoder's input.
    var reachesVision: Bool { learns(.visionTower) || learns(.connector) }
    /// Whether the decoder's layers have a backward pass.
    var reachesDecoder: Bool {
        reachesVision || learns(.embedding) || learns(.decoder) || learns(.crossAttention)
    }
    /// The share of the towers' layers that have a backward pass.
    func towerShare(layers: Int) -> Double {
        guard let first = firstTowerLayer else { return 0 }
        return Double(layers - max(0, first)) / Double(max(1, layers))
    }
}
