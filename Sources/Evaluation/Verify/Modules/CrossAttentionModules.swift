import Goldens
import Models
import NN
import Torch

/// open_flamingo's gated cross-attention block.
struct FlamingoModule: GoldenModule {
    private let block: FlamingoBlock
    private let seesLatestOnly: Bool

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.has("only_attend_immediate_media") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        seesLatestOnly = try reader.flag("only_attend_immediate_media")
        block = try FlamingoBlock(
            hiddenSize: reader.integer("dim"), columnSize: reader.integer("dim_visual"),
            heads: reader.integer("heads"), headSize: reader.integer("dim_head"),
            feedForwardFactor: reader.integer("ff_mult"), store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let x = try golden.input(), media = try golden.input("media"), batch = x.size(0), length = x.size(1)
        let pictures = media.size(1), tokens = media.size(2)
        let marks = try golden.input("media_locations").integers()
        var groups: [ColumnView.Group] = [], weights = [Float](repeating: 1, count: batch * length)
        for row in 0..<batch * length {
            let first = row / length * pictures * tokens
            let begun = marks[row / length * length...row].reduce(0, +)
            var seen = (seesLatestOnly ? max(begun - 1, 0) : 0)..<begun
            if begun == 0, !seesLatestOnly {
                // Before the first picture the reference attends to everything evenly.
                seen = 0..<pictures
                weights[row] = 0
            }
            groups.append(
                ColumnView.Group(
                    rows: [row], columns: Array(first + seen.lowerBound * tokens..<first + seen.upperBound * tokens)))
        }
        let view = try ColumnView(
            groups, tokenCount: batch * length, columnCount: batch * pictures * tokens, device: .cpu)
        let out = try block(
            x.reshape([batch * length, -1]), columns: media.reshape([batch * pictures * tokens, -1]), view,
            weighing: Tensor(weights, shape: [batch * length, 1]))
        return ["\(golden.name).out": try out.view(x.shape)]
    }
}

/// Llama 3.2 Vision's cross-attention layer.
struct MllamaModule: GoldenModule {
    private let layer: MllamaCrossAttentionLayer

    static func matches(_ reader: ConfigurationReader) -> Bool { reader.has("cross_attention_layers") }

    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws {
        let configuration = DecoderConfiguration(
            vocabularySize: try reader.integer("vocab_size"), hiddenSize: try reader.integer("hidden_size"),
            feedForwardSize: try reader.integer("intermediate_size"), layers: 1,
            heads: try reader.integer("num_attention_heads"), keyValueHeads: try reader.integer("num_key_value_heads"),
            normEpsilon: try reader.number("rms_norm_eps"), hasAttentionBias: false)
        layer = try MllamaCrossAttentionLayer(configuration, store.root)
    }

    func run(_ golden: GoldenCase) throws -> [String: Tensor] {
        let x = try golden.input(), states = try golden.input("states")
        let batch = x.size(0), length = x.size(1), columns = states.size(1)
        // Which tiles each token sees, if the case says.
        let mask = try golden.inputs["cross_attention_mask"].map { try $0.integers() }
        let tiles = mask.map { $0.count / (batch * length) } ?? 1, tokens = columns / tiles
        var groups: [ColumnView.Group] = [], forwards = [Float](repeating: 1, count: batch * length)
        for row in 0..<batch * length {
            var seen = (0..<tiles).filter { mask?[row * tiles + $0] ?? 1 != 0 }
            if seen.isEmpty {
                // The reference then attends to everything, and leaves the feed-forward branch out.
                seen = Array(0..<tiles)
                forwards[row] = 0
            }
            let first = row / length * columns
            groups.append(
                ColumnView.Group(
                    rows: [row], columns: seen.flatMap { first + $0 * tokens..<first + ($0 + 1) * tokens }))
        }
        let view = try ColumnView(
            groups, tokenCount: batch * length, columnCount: batch * columns, device: .cpu)
        let forwarding = try Tensor(forwards, shape: [batch * length, 1])
        let out = try layer(
            x.reshape([batch * length, -1]), columns: states.reshape([batch * columns, -1]), view,
            forwarding: mask == nil ? nil : forwarding)
        // The reference's mask is what it adds to the scores.
        let added = groups.enumerated().flatMap { row, group in
            let seen = Set(group.columns)
            return (0..<columns).map { column -> Float in
                seen.contains(row / length * columns + column) ? 0 : -Float.greatestFiniteMagnitude
            }
        }
        return [
            "\(golden.name).out": try out.view(x.shape),
            "\(golden.name).expanded_mask": try Tensor(added, shape: [batch, 1, length, columns]),
            "\(golden.name).full_text_row_masked_out_mask": try forwarding.view([batch, 1, length, 1]),
        ]
    }
}
