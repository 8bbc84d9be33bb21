import Goldens
import Inference
import Models
import NN
import Text
import Torch

extension ModelVerifier {
    mutating func verifyBatches(_ sequences: [String: ProcessedSequence]) throws {
        for (prefix, isLeft) in [
            ("batch", true), ("batch_left", true), ("batch_right", false), ("batch_with_text_row", true),
        ] {
            let description =
                [goldens.json[prefix], goldens.json["cases"][prefix], goldens.json["batch"]].first { !$0.isNull }
                ?? .null
            guard goldens.tensors["\(prefix).input_ids"] != nil else { continue }
            let rows =
                try description["rows"].strings.map { $0.compactMap { sequences[$0] } } ?? unpadded(prefix, sequences)
            guard rows.count == description["rows"].strings?.count ?? rows.count, !rows.isEmpty else {
                report.add("\(prefix).rows", holds: false, "names a case that is not there")
                continue
            }
            try verifyPadding(prefix, rows, isLeft: isLeft)
            try withoutGradient {
                guard goldens.tensors["\(prefix).last_logits"] != nil else { return }
                let input = try ModelInput(rows)
                let last = try Tensor(input.segments.offsets.dropFirst().map { $0 - 1 }).to(model.store.device)
                let logits = try model.logits(model.hiddenStates(input).indexSelect(0, last))
                report.add(try goldens.compare("\(prefix).last_logits", logits.doubles(), shape: logits.shape))
                try verifyPaddedLogits(prefix, rows)
            }
            guard let golden = goldens.tensors["\(prefix).generated"] else { continue }
            let options = GenerationOptions(maxTokens: golden.shape[1])
            let answers = try Generator(model).generate(rows, rows.map { _ in options })
            report.add(
                try goldens.compare(
                    "\(prefix).generated", answers.flatMap { $0.tokens.map { Double($0) } }, shape: golden.shape))
        }
    }

    /// The rows of a batch that no list of cases describes: texts, by the ids that its mask counts.
    private func unpadded(
        _ prefix: String, _ sequences: [String: ProcessedSequence]
    ) throws -> [ProcessedSequence] {
        let shape = try goldens.tensor("\(prefix).input_ids").shape
        let ids = try goldens.doubles("\(prefix).input_ids"), mask = try goldens.doubles("\(prefix).attention_mask")
        return (0..<shape[0]).map { row in
            let places = (row * shape[1]..<(row + 1) * shape[1]).filter { mask[$0] != 0 }
            return sequences.values.first { $0.ids.map(Double.init).elementsEqual(places.map { ids[$0] }) }
                ?? ProcessedSequence(ids: places.map { Int32(ids[$0]) })
        }
    }

    /// The reference pads; Omma packs. The padded layout follows from the packed one.
    private mutating func verifyPadding(_ prefix: String, _ rows: [ProcessedSequence], isLeft: Bool) throws {
        let width = rows.map(\.rows.count).max() ?? 0
        let pad = Int(folder.tokenizer.specialTokens.pad ?? 0)
        func padded(_ values: [Int], with filler: Int) -> [Int] {
            let filling = [Int](repeating: filler, count: width - values.count)
            return isLeft ? filling + values : values + filling
        }
        let shape = [rows.count, width]
        let ids = rows.flatMap { padded($0.ids.map(Int.init), with: pad) }
        report.add(try goldens.compare("\(prefix).input_ids", ids, shape: shape))
        if goldens.tensors["\(prefix).attention_mask"] != nil {
            let mask = rows.flatMap { padded($0.rows.map { _ in 1 }, with: 0) }
            report.add(try goldens.compare("\(prefix).attention_mask", mask, shape: shape))
        }
        if let golden = goldens.tensors["\(prefix).position_ids"] {
            let parts = golden.shape.count == 3 ? 3 : 1
            let positions = (0..<parts).flatMap { part in
                rows.flatMap { padded($0.rows.map { Int($0.position[part]) }, with: 1) }
            }
            report.add(try goldens.compare("\(prefix).position_ids", positions, shape: golden.shape))
        }
        if goldens.tensors["\(prefix).image_grid_thw"] != nil {
            let grids = rows.flatMap(\.items).filter { $0.kind == .image }.map(Self.patchGrid)
            report.add(try goldens.compare("\(prefix).image_grid_thw", grids.flatMap { $0 }, shape: [grids.count, 3]))
        }
        if let golden = goldens.tensors["\(prefix).cross_attention_mask"] {
            let columns = golden.shape.last ?? 0
            let mask = try rows.flatMap { row in
                let empty = [Int](repeating: 0, count: (width - row.rows.count) * columns)
                let seen = try Self.visibility(row, width: columns).integers()
                return isLeft ? empty + seen : seen + empty
            }
            report.add(try goldens.compare("\(prefix).cross_attention_mask", mask, shape: golden.shape))
        }
    }

    /// All logits of a batch, with zeros where the reference pads on the left.
    private mutating func verifyPaddedLogits(_ prefix: String, _ rows: [ProcessedSequence]) throws {
        guard let golden = goldens.tensors["\(prefix).logits"] else { return }
        let input = try ModelInput(rows), logits = try model.logits(model.hiddenStates(input))
        let width = golden.shape[1], vocabulary = logits.size(1)
        let padded = try rows.indices.flatMap { row in
            let range = input.segments.range(row)
            return try [Double](repeating: 0, count: (width - range.count) * vocabulary)
                + logits.slice(0, range).doubles()
        }
        report.add(try goldens.compare("\(prefix).logits", padded, shape: golden.shape))
    }

    /// Ids beyond the length of pre-training, which scale the rotary frequencies.
    mutating func verifyLongSequence() throws {
        let name = "long_dynamic_ntk"
        guard goldens.tensors["\(name).input_ids"] != nil else { return }
        let ids = try goldens.doubles("\(name).input_ids").map { Int($0) }
        let sequence = ProcessedSequence(ids: ids.map { Int32($0) })
        report.add(try goldens.compare("\(name).input_ids", ids, shape: goldens.tensor("\(name).input_ids").shape))
        try withoutGradient {
            let logits = try model.logits(model.hiddenStates(ModelInput([sequence])))
            let some = try Tensor(Array(stride(from: 0, to: ids.count, by: 16))).to(model.store.device)
            let found = try logits.indexSelect(0, some)
            report.add(try goldens.compare("\(name).logits_every_16th", found.doubles(), shape: found.shape))
        }
    }
}

extension ProcessedSequence {
    /// Plain text that is known by its ids only.
    init(ids: [Int32]) {
        self.init(
            rows: ids.enumerated().map { TokenRow(id: $0.element, position: SIMD3(repeating: Int32($0.offset))) },
            items: [], nextPosition: Int32(ids.count), promptText: "")
    }
}
