import Foundation
import Goldens
import Inference
import Models
import NN
import Text
import Torch
import Training

/// Compares a checkpoint with the results of its reference: ids, positions, pixels, hidden states, logits, greedy text,
/// and one training step.
struct ModelVerifier: FolderVerifier {
    static let kind = "model"

    static func matches(_ contents: GoldenContents) -> Bool {
        contents.has("config.json") && !contents.json.isNull && !ModuleVerifier.matches(contents)
    }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        var verifier = try ModelVerifier(contents.url, report)
        try verifier.run()
        report = verifier.report
    }

    let goldens: GoldenFolder
    let folder: ModelFolder
    let model: VisionLanguageModel
    var report: VerifyReport

    private init(_ url: URL, _ report: VerifyReport) throws {
        goldens = try GoldenFolder(path: url.path)
        folder = try ModelFolder(url)
        model = try folder.loadModel(dtype: .float32, writable: true)
        self.report = report
    }

    private mutating func run() throws {
        let cases = goldens.json["cases"].object ?? [:]
        var sequences: [String: ProcessedSequence] = [:]
        for (name, golden) in cases.sorted(by: { $0.key < $1.key }) where golden["messages"].array != nil {
            let conversation = try GoldenConversation(golden, folder: folder.url)
            let sequence = try folder.processor.process(conversation.messages, conversation.options)
            sequences[name] = sequence
            try verify(name, golden, sequence)
        }
        try verifyBatch(sequences)
        try verifyPictures()
        // Last, because it changes the weights.
        for (name, golden) in cases.sorted(by: { $0.key < $1.key }) where !golden["training_step"].isNull {
            guard let sequence = sequences[name] else { continue }
            let step = TrainingStepVerifier(model: model, golden: golden["training_step"], name: name)
            try step.verify(sequence, &report)
        }
    }

    // MARK: - one case

    private mutating func verify(_ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence) throws {
        if let text = golden["prompt_text"].string {
            report.addText("\(name).prompt_text", expected: text) { sequence.promptText }
        }
        if let ids = golden["input_ids"].ints {
            report.add("\(name).input_ids", holds: sequence.ids.map(Int.init) == ids, "is \(sequence.ids)")
        }
        if let labels = golden["labels"].ints {
            let found = sequence.rows.map { $0.isSupervised ? Int($0.id) : -100 }
            report.add("\(name).labels", holds: found == labels, "is \(found)")
        }
        if let deltas = golden["mrope_position_delta"].ints {
            let delta = Int(sequence.nextPosition) - sequence.rows.count
            report.add("\(name).mrope_position_delta", holds: deltas == [delta], "is \(delta), the golden \(deltas)")
        }
        verifyGrids(name, golden, sequence)

        var observed: [String: Tensor] = [:]
        let context = ForwardContext(observer: { observed[$0] = $1 })
        try withoutGradient {
            let hidden = try model.hiddenStates(ModelInput([sequence]), context)
            observed["logits"] = try model.logits(hidden)
        }
        for (golden, what) in goldens.tensors.keys.sorted().compactMap({ key in
            key.hasPrefix(name + ".") ? (key, String(key.dropFirst(name.count + 1))) : nil
        }) where !["sample", "last_row", "argmax"].contains(what.split(separator: ".").last.map(String.init) ?? "") {
            guard let tensor = try value(of: what, sequence, observed) else {
                report.add(golden, holds: false, "the model gives nothing of this name")
                continue
            }
            let shape = try goldens.tensor(golden).shape
            let isSame = shape.reduce(1, *) == tensor.count
            report.add(try goldens.compare(golden, tensor.doubles(), shape: isSame ? shape : tensor.shape))
        }
        try verifyGreedy(name, golden, sequence)
    }

    private mutating func verifyGrids(_ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence) {
        for (field, kind) in [("image_grid_thw", VisualItem.Kind.image), ("video_grid_thw", .video)] {
            guard let expected = golden[field].array?.compactMap(\.ints) else { continue }
            let found = sequence.items.filter { $0.kind == kind }.map { [$0.grid.time, $0.grid.height, $0.grid.width] }
            report.add("\(name).\(field)", holds: found == expected, "is \(found), the golden \(expected)")
        }
    }

    /// What the model gave under the name that the goldens use.
    private func value(
        of what: String, _ sequence: ProcessedSequence, _ observed: [String: Tensor]
    ) throws -> Tensor? {
        switch what {
        case "input_ids": return try Tensor(sequence.ids.map(Int.init))
        case "position_ids": return try Self.positions(sequence.rows.map(\.position))
        case "pixel_values": return try Self.patches(sequence, .image)
        case "pixel_values_videos": return try Self.patches(sequence, .video)
        default: break
        }
        guard what.hasPrefix("vision.") else { return observed[what] ?? observed["text." + what] }
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

    private static func patches(_ sequence: ProcessedSequence, _ kind: VisualItem.Kind) throws -> Tensor? {
        let items = sequence.items.filter { $0.kind == kind }
        return items.isEmpty ? nil : try Tensor.cat(items.map(\.patches))
    }

    /// The rows of a tower's or merger's result that belong to items of one kind.
    private static func rows(_ tensor: Tensor, of kind: VisualItem.Kind, _ sequence: ProcessedSequence) throws -> Tensor
    {
        let total = sequence.items.reduce(0) { $0 + $1.grid.count }
        var start = 0
        var parts: [Tensor] = []
        for item in sequence.items {
            let length = item.grid.count * tensor.size(0) / max(total, 1)
            if item.kind == kind { parts.append(try tensor.slice(0, start..<start + length)) }
            start += length
        }
        return try Tensor.cat(parts)
    }

    private mutating func verifyGreedy(_ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence) throws {
        try verifyAnswer(name, golden, sequence)
        guard let tokens = golden["greedy_24_ignore_eos"]["new_tokens"].ints else { return }
        let generator = Generator(model)
        let options = GenerationOptions(maxTokens: tokens.count)
        let cached = try generator.generate(sequence, options).tokens
        report.add("\(name).greedy", holds: cached.map(Int.init) == tokens, "is \(cached), the golden \(tokens)")
        let uncached = try generator.generate(sequence, options, useCache: false).tokens
        report.add("\(name).greedy without cache", holds: uncached.map(Int.init) == tokens, "is \(uncached)")
        if let text = golden["greedy_text"].string {
            report.addText("\(name).greedy_text", expected: text) { [tokenizer = folder.tokenizer] in
                try tokenizer.decode(known: cached)
            }
        }
    }

    /// The answer of a trained model, up to its stop token.
    private mutating func verifyAnswer(_ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence) throws {
        let answer = golden["greedy_until_eos"]
        guard var tokens = answer["new_tokens"].ints else { return }
        let stop = folder.processor.stopTokens
        let options = GenerationOptions(maxTokens: answer["max_new_tokens"].int ?? tokens.count, stopTokens: stop)
        let found = try Generator(model).generate(sequence, options).tokens
        // The reference's answer ends with the token that stopped it.
        if let last = tokens.last, stop.contains(Int32(clamping: last)) { tokens.removeLast() }
        report.add("\(name).answer", holds: found.map(Int.init) == tokens, "is \(found), the golden \(tokens)")
        if let text = golden["greedy_text"].string {
            report.addText("\(name).greedy_text", expected: text) { [tokenizer = folder.tokenizer] in
                try tokenizer.decode(known: found, skipSpecialTokens: true)
            }
        }
    }

    // MARK: - batches and pictures

    private mutating func verifyBatch(_ sequences: [String: ProcessedSequence]) throws {
        for (prefix, isLeft) in [("batch", true), ("batch_left", true), ("batch_right", false)] {
            let description = goldens.json[prefix].isNull ? goldens.json["batch"] : goldens.json[prefix]
            guard goldens.tensors["\(prefix).input_ids"] != nil, let names = description["rows"].strings else {
                continue
            }
            let rows = names.compactMap { sequences[$0] }
            guard rows.count == names.count else {
                report.add("\(prefix).rows", holds: false, "names a case that is not there")
                continue
            }
            try verifyPadding(prefix, rows, isLeft: isLeft)
            try withoutGradient {
                guard goldens.tensors["\(prefix).last_logits"] != nil else { return }
                let input = try ModelInput(rows)
                let last = try Tensor(input.segments.offsets.dropFirst().map { $0 - 1 })
                let logits = try model.logits(model.hiddenStates(input).indexSelect(0, last))
                report.add(try goldens.compare("\(prefix).last_logits", logits.doubles(), shape: logits.shape))
            }
            guard let golden = goldens.tensors["\(prefix).generated"] else { continue }
            let options = GenerationOptions(maxTokens: golden.shape[1])
            let answers = try Generator(model).generate(rows, rows.map { _ in options })
            report.add(
                try goldens.compare(
                    "\(prefix).generated", answers.flatMap { $0.tokens.map { Double($0) } }, shape: golden.shape))
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
            let grids = rows.flatMap(\.items).filter { $0.kind == .image }.map(\.grid)
            report.add(
                try goldens.compare(
                    "\(prefix).image_grid_thw", grids.flatMap { [$0.time, $0.height, $0.width] },
                    shape: [grids.count, 3]))
        }
    }

    /// Every picture through the image policy.
    private mutating func verifyPictures() throws {
        let pictures = goldens.json["image_processor_all_pictures"]["results"].object ?? [:]
        for (file, golden) in pictures.sorted(by: { $0.key < $1.key }) {
            let part = GoldenJSON.object(["type": .string("image"), "image": .string(file)])
            let message = GoldenJSON.object(["role": .string("user"), "content": .array([part])])
            let json = GoldenJSON.object(["messages": .array([message])])
            let conversation = try GoldenConversation(json, folder: sharedPictures(file))
            if golden["error"].string != nil {
                // transformers 4.45 refuses pictures below one merge block; Omma's default follows its successors.
                verifyRefusal(file, conversation.messages)
                continue
            }
            let sequence = try folder.processor.process(conversation.messages, ProcessingOptions())
            verifyGrids(
                "pixels.\(file)", GoldenJSON.object(["image_grid_thw": .array([golden["image_grid_thw"]])]), sequence)
            if let patches = try Self.patches(sequence, .image), goldens.tensors["pixels.\(file)"] != nil {
                report.add(try goldens.compare("pixels.\(file)", patches.doubles(), shape: patches.shape))
            }
        }
    }

    private mutating func verifyRefusal(_ file: String, _ conversation: Conversation) {
        guard var policy = (folder.processor as? Qwen2VLProcessor)?.imagePolicy,
            case .image(let image)? = conversation.first?.parts.first
        else {
            return report.add("pixels.\(file)", holds: false, "the golden is an error, and there is no rule to ask")
        }
        policy.resize.version = .transformers4
        do {
            let item = try policy.item(image)
            report.add("pixels.\(file)", holds: false, "is a grid of \(item.grid), the golden an error")
        } catch {
            report.add("pixels.\(file)", holds: true)
        }
    }

    /// The folder whose `images` holds the file: this one, or the goldens' common one beside it.
    private func sharedPictures(_ file: String) -> URL {
        let own = folder.url.appending(path: "images/\(file)")
        return FileManager.default.fileExists(atPath: own.path)
            ? folder.url : folder.url.deletingLastPathComponent()
    }
}

extension Tokenizer {
    /// The text of ids as the reference decodes them: a model's vocabulary may be padded beyond the tokenizer's, and ids
    /// that no token has are nothing.
    fileprivate func decode(known ids: [Int32], skipSpecialTokens: Bool = false) throws -> String {
        try decode(ids.filter { token(for: $0) != nil }, skipSpecialTokens: skipSpecialTokens)
    }
}
