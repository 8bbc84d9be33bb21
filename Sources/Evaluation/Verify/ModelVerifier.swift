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
        var verifier = try ModelVerifier(contents.url, on: contents.device, report)
        try verifier.run()
        report = verifier.report
    }

    let goldens: GoldenFolder
    let folder: ModelFolder
    let model: VisionLanguageModel
    var report: VerifyReport

    /// - Parameter overrides: fields of the configuration that a case changes.
    private init(
        _ url: URL, on device: Device, _ report: VerifyReport, overriding overrides: [String: JSONValue] = [:]
    ) throws {
        goldens = try GoldenFolder(path: url.path)
        folder = try ModelFolder(url, overriding: overrides)
        model = try folder.loadModel(dtype: .float32, device: device, writable: true)
        self.report = report
    }

    private mutating func run() throws {
        let cases = goldens.json["cases"].object ?? [:]
        var sequences: [String: ProcessedSequence] = [:]
        for (name, golden) in cases.sorted(by: { $0.key < $1.key }) where GoldenConversation.isConversation(golden) {
            let conversation = try GoldenConversation(golden, folder: folder.url)
            let sequence = try conversation.process(folder.processor)
            sequences[name] = sequence
            let overrides = (golden["config_override"].object ?? [:]).compactMapValues(JSONValue.init(golden:))
            guard !overrides.isEmpty else {
                try verify(name, golden, sequence)
                continue
            }
            // The case is of the same weights under another configuration.
            var other = try ModelVerifier(
                folder.url, on: model.store.device, report, overriding: overrides)
            try other.verify(name, golden, sequence)
            report = other.report
        }
        try verifyResampler()
        try verifyBatches(sequences)
        try verifyLongSequence()
        try verifyPictures()
        try verifySaved(sequences)
        // Last, because it changes the weights.
        for (name, golden) in cases.sorted(by: { $0.key < $1.key }) where !golden["training_step"].isNull {
            guard let sequence = sequences[name] else { continue }
            let step = TrainingStepVerifier(model: model, golden: golden["training_step"], name: name)
            try step.verify(sequence, &report)
        }
        noteUnverified()
    }

    /// Every stored tensor must have been compared with something.
    private mutating func noteUnverified() {
        let compared = Set(report.lines.map(\.name))
        for name in goldens.tensors.keys.sorted() where !Self.isPart(name) && !compared.contains(name) {
            report.add(name, holds: false, "nothing was compared with it")
        }
    }

    /// Whether a stored tensor is a part of another: a sample, the last row, or where the rows are largest.
    static func isPart(_ name: String) -> Bool {
        ["sample", "last_row", "argmax"].contains(name.split(separator: ".").last.map(String.init) ?? "")
    }

    // MARK: - one case

    private mutating func verify(_ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence) throws {
        verifyPrompt(name, golden, sequence)
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
        }) where !Self.isPart(golden) {
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
        try verifyRecomputed(name, golden, sequence)
    }

    /// Tokens that come of reading everything anew at each step, so that frequencies follow the length.
    private mutating func verifyRecomputed(
        _ name: String, _ golden: GoldenJSON, _ sequence: ProcessedSequence
    ) throws {
        guard let tokens = golden["greedy_24_no_cache"].ints else { return }
        var sequence = sequence
        let found = try withoutGradient {
            try tokens.map { _ in
                let hidden = try model.hiddenStates(ModelInput([sequence]))
                let last = try hidden.slice(0, hidden.size(0) - 1..<hidden.size(0))
                let token = try model.logits(last).argmax(1).integers()[0]
                sequence = sequence.prolonged(by: Int32(token))
                return token
            }
        }
        report.add("\(name).greedy anew", holds: found == tokens, "is \(found), the golden \(tokens)")
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
}

extension ProcessedSequence {
    /// The same with one more token of text, as a prompt of its own.
    fileprivate func prolonged(by id: Int32) -> ProcessedSequence {
        let row = TokenRow(id: id, position: SIMD3(repeating: nextPosition))
        return ProcessedSequence(
            rows: rows + [row], items: items, nextPosition: nextPosition + 1, promptText: promptText)
    }
}

extension Tokenizer {
    /// The text of ids as the reference decodes them: a model's vocabulary may be padded beyond the tokenizer's, and ids
    /// that no token has are nothing.
    fileprivate func decode(known ids: [Int32], skipSpecialTokens: Bool = false) throws -> String {
        try decode(ids.filter { token(for: $0) != nil }, skipSpecialTokens: skipSpecialTokens)
    }
}
