import Models
import Torch

/// The arithmetic and the bytes that a model's work costs at least.
struct BenchShapes {
    private let decoder: DecoderConfiguration
    private let vision: Qwen2VisionTower.Configuration?
    private let dtype: DType

    init(_ configuration: Qwen2VLConfiguration, _ dtype: DType) {
        decoder = configuration.decoder
        vision = configuration.vision
        self.dtype = dtype
    }

    func row(_ name: String, _ runs: [Double], _ limits: BenchReport.Limits) -> BenchReport.Row {
        let rate = limits.matmul * 1e9, read = limits.memoryRead * 1e9
        switch name {
        case "prefill_512", "prefill_2048":
            let tokens = name == "prefill_512" ? 512 : 2048
            return .init(name, unit: "tokens/s", runs: runs, limit: Double(tokens) * rate / prefill(tokens))
        case "decode_depth_0": return .init(name, unit: "tokens/s", runs: runs, limit: read / decodeBytes(0))
        case "decode_depth_1024": return .init(name, unit: "tokens/s", runs: runs, limit: read / decodeBytes(1024))
        case "tower_448":
            return .init(name, unit: "s", runs: runs, limit: tower(32 * 32) / rate, lowerIsBetter: true)
        case "tower_1344x896":
            return .init(name, unit: "s", runs: runs, limit: tower(96 * 64) / rate, lowerIsBetter: true)
        case "start_to_first_token":
            let work = (tower(32 * 32) + prefill(256 + 30)) / rate
            return .init(name, unit: "s", runs: runs, limit: work, lowerIsBetter: true)
        default:
            return .init(name, unit: "GB", runs: runs, limit: weightBytes / 1e9, lowerIsBetter: true)
        }
    }

    /// The matrices of the decoder's layers.
    private var layerParameters: Double {
        let hidden = Double(decoder.hiddenSize), heads = Double(decoder.heads * decoder.headSize)
        let keyValues = Double(decoder.keyValueHeads * decoder.headSize)
        let attention = 2 * hidden * heads + 2 * hidden * keyValues
        return Double(decoder.layers) * (attention + 3 * hidden * Double(decoder.feedForwardSize))
    }

    private var head: Double { Double(decoder.hiddenSize * decoder.vocabularySize) }

    /// Operations of a prompt, with scores for its last token only; a token sees half of the prompt on average.
    private func prefill(_ tokens: Int) -> Double {
        let count = Double(tokens)
        let attention = 2 * Double(decoder.heads * decoder.headSize) * count * count * Double(decoder.layers)
        return 2 * layerParameters * count + attention + 2 * head
    }

    /// Operations of a whole conversation with a picture, with scores for every token.
    func forward(tokens: Int, patches: Int) -> Double {
        prefill(tokens) + 2 * head * Double(tokens - 1) + tower(patches)
    }

    /// Bytes that a step must read: all matrices, the head, and the cache.
    private func decodeBytes(_ depth: Int) -> Double {
        let cache = 2 * Double(depth * decoder.keyValueHeads * decoder.headSize * decoder.layers)
        return (layerParameters + head + cache) * Double(dtype.size)
    }

    /// Operations of the tower and merger for a picture of so many patches.
    private func tower(_ patches: Int) -> Double {
        guard let vision else { return 0 }
        let count = Double(patches), hidden = Double(vision.hiddenSize)
        let block = 4 * hidden * hidden + 2 * hidden * Double(vision.feedForwardSize)
        let patch = Double(vision.channels * vision.temporalPatchSize * vision.patchSize * vision.patchSize)
        let merge = Double(vision.mergeSize * vision.mergeSize)
        let merger = (hidden * merge * hidden * merge + hidden * merge * Double(decoder.hiddenSize)) / merge
        let linear = 2 * count * (Double(vision.layers) * block + patch * hidden + merger)
        return linear + 4 * hidden * count * count * Double(vision.layers)
    }

    private var weightBytes: Double {
        var total = layerParameters + head * (decoder.hasTiedHead ? 1 : 2)
        if let vision {
            let hidden = Double(vision.hiddenSize), merge = hidden * Double(vision.mergeSize * vision.mergeSize)
            total += Double(vision.layers) * (4 * hidden * hidden + 2 * hidden * Double(vision.feedForwardSize))
            total += merge * merge + merge * Double(decoder.hiddenSize)
        }
        return total * Double(dtype.size)
    }
}
