import Goldens
import Models
import NN
import Torch

extension ModelVerifier {
    /// The prompt as text, in which golden and model mark pictures in their own ways.
    mutating func verifyPrompt(_ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence) {
        let placement = (folder.processor as? PromptProcessor)?.placement
        if let text = golden["prompt_text"].string {
            let mark = placement?.placeholder ?? ""
            report.addText("\(name).prompt_text", expected: Self.collapsing(mark, in: text)) { sequence.promptText }
        }
        if let text = golden["prompt_before_image_expansion"].string, placement?.tags == TileTags.none, let placement {
            let picture = placement.before + placement.placeholder + placement.after
            report.addText("\(name).prompt_before_image_expansion", expected: text) {
                sequence.promptText.replacing(picture, with: "<image>")
            }
        }
    }

    /// A text with one mark in place of each run of them.
    private static func collapsing(_ mark: String, in text: String) -> String {
        guard !mark.isEmpty else { return text }
        var text = text
        while text.contains(mark + mark) { text = text.replacing(mark + mark, with: mark) }
        return text
    }

    mutating func verifyGrids(_ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence) {
        for (field, kind) in [("image_grid_thw", VisualItem.Kind.image), ("video_grid_thw", .video)] {
            guard let expected = golden[field].array?.compactMap(\.ints) else { continue }
            let found = sequence.items.filter { $0.kind == kind }.map(Self.patchGrid)
            report.add("\(name).\(field)", holds: found == expected, "is \(found), the golden \(expected)")
        }
        if let expected = golden["tile_grids"].array?.compactMap(\.ints) {
            let found = sequence.items.map(Self.tileGrid)
            report.add("\(name).tile_grids", holds: found == expected, "is \(found), the golden \(expected)")
        }
        if let expected = golden["num_patches_list"].ints {
            let found = sequence.items.map(\.tileCount)
            report.add("\(name).num_patches_list", holds: found == expected, "is \(found), the golden \(expected)")
        }
        if let expected = golden["num_columns"].int {
            let found = sequence.columnCount
            report.add("\(name).num_columns", holds: found == expected, "is \(found), the golden \(expected)")
        }
        if let expected = golden["tiles_rgb_sha256"].array?.compactMap(\.strings) {
            for (index, (item, hashes)) in zip(sequence.items, expected).enumerated() {
                verifyTiles("\(name).tiles_rgb_sha256[\(index)]", item, hashes)
            }
        }
    }

    static func patchGrid(_ item: VisualItem) -> [Int] {
        guard case .patches(let grid) = item.layout else { return [] }
        return [grid.time, grid.height, grid.width]
    }

    static func tileGrid(_ item: VisualItem) -> [Int] {
        guard case .tiles(let grid) = item.layout else { return [] }
        return [grid.columns, grid.rows]
    }

    /// The names that references give to the connector's result and to the tower's.
    private static let synonyms = [
        "vision.merger": "vision.features", "vision.mlp1": "vision.features", "vision.projector": "vision.features",
        "vision.encoder": "vision.last_block",
    ]

    /// What the model gave under the name that the goldens use.
    func value(
        of what: String, _ sequence: ProcessedSequence, _ observed: [String: Tensor]
    ) throws -> Tensor? {
        switch what {
        case "input_ids": return try Tensor(sequence.ids.map(Int.init))
        case "position_ids": return try Self.positions(sequence.rows.map(\.position))
        case "pixel_values": return try Self.pixels(sequence, .image)
        case "pixel_values_videos": return try Self.pixels(sequence, .video)
        default: break
        }
        if let number = what.hasPrefix("hidden") ? Int(what.dropFirst(6)) : nil {
            return observed[number == 0 ? "inputs_embeds" : "text.layer\(number - 1)"]
        }
        if what == "cross_attention_mask" { return try Self.visibility(sequence) }
        var what = what
        if let (theirs, ours) = Self.synonyms.first(where: { what == $0.key || what.hasPrefix($0.key + ".") }) {
            what = ours + what.dropFirst(theirs.count)
        }
        guard what.hasPrefix("vision.") else { return observed[what] ?? observed["text." + what] }
        if let tensor = try Self.qwenVL(what, pictures: sequence.items.count, observed) { return tensor }
        // The reference runs the tower for pictures and for videos by themselves, and its plain names are those of the
        // run that came last.
        let kinds = Set(sequence.items.map(\.kind))
        for (ending, kind) in [(".images", VisualItem.Kind.image), (".videos", .video)] where what.hasSuffix(ending) {
            return try observed[String(what.dropLast(7))].map { try Self.rows($0, of: kind, sequence) }
        }
        guard let tensor = observed[what], kinds.count == 2 else { return observed[what] }
        return try Self.rows(tensor, of: .video, sequence)
    }

    /// `[3, tokens]`.
    static func positions(_ positions: [SIMD3<Int32>]) throws -> Tensor {
        try Tensor((0..<3).flatMap { part in positions.map { Int($0[part]) } }, shape: [3, positions.count])
    }

    static func pixels(_ sequence: ProcessedSequence, _ kind: VisualItem.Kind) throws -> Tensor? {
        let items = sequence.items.filter { $0.kind == kind }
        return items.isEmpty ? nil : try Tensor.cat(items.map(\.pixels))
    }

    /// The rows of a tower's or merger's result that belong to items of one kind.
    private static func rows(_ tensor: Tensor, of kind: VisualItem.Kind, _ sequence: ProcessedSequence) throws -> Tensor
    {
        let total = sequence.patchCount
        var start = 0
        var parts: [Tensor] = []
        for item in sequence.items {
            let length = item.patchCount * tensor.size(0) / max(total, 1)
            if item.kind == kind { parts.append(try tensor.slice(0, start..<start + length)) }
            start += length
        }
        return try Tensor.cat(parts)
    }

    /// `[tokens, columns]`: 1 where gated cross-attention sees.
    static func visibility(_ sequence: ProcessedSequence, width: Int? = nil) throws -> Tensor {
        let width = width ?? sequence.columnCount
        let values = sequence.rows.flatMap { row in (0..<width).map { row.columns.contains(Int32($0)) ? 1 : 0 } }
        return try Tensor(values, shape: [sequence.rows.count, width])
    }
}

// MARK: - Qwen-VL

extension ModelVerifier {
    /// What Qwen-VL's reference calls by other names, and lays out in another order.
    private static func qwenVL(_ what: String, pictures: Int, _ observed: [String: Tensor]) throws -> Tensor? {
        guard observed["vision.attn_pool"] != nil else { return nil }
        func rows(_ name: String) throws -> Tensor? {
            try observed[name].map { try $0.reshape([pictures, -1, $0.size($0.rank - 1)]) }
        }
        switch what {
        // `[pictures, width, rows, columns]`, as a convolution gives it.
        case "vision.conv1": return try rows("vision.patch_embed")?.transpose(1, 2)
        case "vision.ln_pre": return try rows("vision.embeddings")
        // Token by token, within it picture by picture.
        case "vision.block0": return try rows("vision.layer0")?.transpose(0, 1)
        case "vision.last_block": return try rows("vision.last_layer")?.transpose(0, 1)
        case "vision.output": return try rows("vision.features")
        default: return nil
        }
    }

    /// The resampler's fixed positions: those of the checkpoint, and those that a new model starts with.
    mutating func verifyResampler() throws {
        let name = "resampler.pos_embed"
        guard goldens.tensors[name] != nil,
            let connector = (model.vision as? AssembledVision)?.connector as? QwenVLConnector
        else { return }
        let stored = connector.resampler.positionTable
        report.add(try goldens.compare(name, stored.doubles(), shape: stored.shape))
        let start = try ParameterStore(.random(seed: 0)).root
            .constant("positions", stored.shape, .sineCosineGrid(side: connector.resampler.side)).tensor
        var line = try goldens.compare(name, start.doubles(), shape: start.shape)
        line.name += " of a new model"
        report.add(line)
    }
}
