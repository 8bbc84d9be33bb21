import Foundation
import Media
import ModelTestSupport
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Models

@Suite("Adapters in PEFT's layout")
struct AdapterTests {
    private static let golden = Fixtures.goldens.appending(path: "lora_small")

    /// The tokens whose scores a golden of adapters keeps: every sixth.
    static func kept(_ scores: Tensor) throws -> Tensor {
        try scores.indexSelect(0, Tensor(Array(stride(from: 0, to: scores.shape[0], by: 6))))
    }

    /// The scores of the golden's prompt, `[tokens, vocabulary]`.
    private func logits(_ folder: ModelFolder) throws -> Tensor {
        let picture = try Image(contentsOf: TinyQwen2VL.url.appending(path: "images/small_a.png").path)
        let sequence = try folder.processor.process(
            [Message(.user, [.image(picture), .text("What does the picture show?")])], ProcessingOptions())
        let model = try folder.loadModel(dtype: .float32)
        return try withoutGradient { try model.logits(model.hiddenStates(ModelInput([sequence]))) }
    }

    @Test("An adapter that PEFT wrote gives PEFT's scores, on the base that it names")
    func parity() throws {
        let file = try SafetensorsFile(path: Self.golden.appending(path: "golden.safetensors").path)
        let folder = try ModelFolder(Self.golden)
        #expect(folder.weights.lastPathComponent == "qwen2vl_small")
        let plain = try logits(ModelFolder(TinyQwen2VL.url)), adapted = try logits(folder)
        #expect(try largestDifference(Self.kept(plain), file.tensor("base_logits")) < 1e-3)
        #expect(try largestDifference(Self.kept(adapted), file.tensor("logits")) < 1e-3)
        #expect(try largestDifference(adapted, plain) > 0.5)
        let named = try logits(ModelFolder(TinyQwen2VL.url, adapter: Self.golden))
        #expect(try named.isEqual(to: adapted))
    }

    private func attached(_ model: VisionLanguageModel) throws -> LowRankAdapters {
        let adapters = try LowRankAdapters(
            attachingTo: model.store.parameters.filter { $0.isLinear && $0.name.contains("proj") },
            .init(rank: 3, alpha: 6), store: ParameterStore(.random(seed: 8), writable: true))
        let random = try RandomGenerator(seed: 4)
        for parameter in adapters.store.parameters where parameter.name.hasSuffix(LowRankAdapters.upSuffix) {
            try random.normal(parameter.tensor, standardDeviation: 0.2)
        }
        return adapters
    }

    @Test("What is written is read again, under the reference library's names")
    func roundTrip() throws {
        let tiny = try TinyQwen2VL(), out = try TemporaryFolder().url
        let adapters = try attached(tiny.model)
        try AdapterFolder.write(adapters, to: out, family: tiny.folder.family, base: TinyQwen2VL.url)
        let file = try SafetensorsCheckpoint(directory: out.path, name: "adapter_model")
        #expect(
            file.names.contains("base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"))
        #expect(file.names.contains("base_model.model.model.visual.blocks.2.attn.proj.lora_B.weight"))
        let folder = try ModelFolder(out)
        let again = try folder.loadModel()
        for target in adapters.targets {
            let mine = try #require(target.adapter), other = try #require(again.store[target.name]?.adapter)
            #expect(try mine.down.tensor.isEqual(to: other.down.tensor))
            #expect(try mine.up.tensor.isEqual(to: other.up.tensor))
            #expect(mine.scale == other.scale && mine.scale == 2)
        }
    }

    @Test("Plain, stacked and gated layers compute what the merged matrix does")
    func merging() throws {
        let adapted = try TinyQwen2VL(writable: true), merged = try TinyQwen2VL(writable: true)
        let adapters = try attached(adapted.model)
        for (name, tensor) in try adapters.merged() { try #require(merged.model.store[name]).tensor = tensor }
        let sequences = try adapted.mixedPrompts()
        let before = try TinyQwen2VL().model.hiddenStates(ModelInput(sequences))
        let one = try adapted.model.hiddenStates(ModelInput(sequences))
        let other = try merged.model.hiddenStates(ModelInput(sequences))
        #expect(try largestDifference(one, other) < 2e-4)
        #expect(try largestDifference(one, before) > 0.1)

        let stacked = StackedGatedFeedForward(
            try Linear(6, 16, bias: false, ParameterStore(.random(seed: 1)).root["a"]), isGateFirst: true,
            down: try Linear(8, 6, bias: false, ParameterStore(.random(seed: 2)).root["b"]), activation: .silu)
        let x = try RandomGenerator(seed: 3).normal([5, 6])
        let weight = stacked.gateAndUp.weight
        let single = try LowRankAdapters(
            attachingTo: [weight], .init(rank: 2, alpha: 2), store: ParameterStore(.random(seed: 4)))
        try RandomGenerator(seed: 5).normal(#require(weight.adapter).up.tensor)
        let beside = try stacked(x)
        let whole = try #require(single.merged().first).tensor
        single.detach()
        #expect(try largestDifference(beside, stacked(x)) > 1e-3)
        weight.tensor = whole
        #expect(try largestDifference(beside, stacked(x)) < 1e-5)
    }

    private func copy(_ change: (inout [String: Any]) -> Void) throws -> URL {
        let folder = try TemporaryFolder().url
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            try FileManager.default.copyItem(at: Self.golden.appending(path: name), to: folder.appending(path: name))
        }
        let file = folder.appending(path: "adapter_config.json")
        var fields = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        change(&fields)
        try JSONSerialization.data(withJSONObject: fields).write(to: file)
        return folder
    }

    private func failure(_ adapter: URL, base: URL? = TinyQwen2VL.url) throws -> String {
        let error = try #require(throws: (any Error).self) {
            _ = try (base.map { try ModelFolder($0, adapter: adapter) } ?? ModelFolder(adapter)).loadModel()
        }
        return "\(error)"
    }

    @Test(
        "Fields that change the mathematics are refused by name",
        arguments: ["fan_in_fan_out", "modules_to_save", "bias", "peft_type", "alpha_pattern", "r"])
    func refusedFields(_ field: String) throws {
        let values: [String: Any] = [
            "modules_to_save": ["lm_head"], "bias": "all", "peft_type": "IA3", "alpha_pattern": ["q_proj": 3], "r": 0,
        ]
        let folder = try copy { $0[field] = values[field] ?? true }
        #expect(try failure(folder).contains(field))
    }

    @Test("A key that fits no layer, a wrong shape, a missing half and a base that is not there are errors")
    func mismatches() throws {
        func rewrite(_ change: (String) -> String?) throws -> URL {
            let folder = try copy { _ in }
            let file = try SafetensorsFile(path: folder.appending(path: "adapter_model.safetensors").path)
            let sources = try file.names.compactMap { name -> Safetensors.TensorSource? in
                let tensor = try file.tensor(name)
                return change(name).map { .init(name: $0, tensor: tensor) }
            }
            try SafetensorsWriter.write(path: file.path, tensors: sources)
            return folder
        }
        let renamed = try rewrite { $0.replacingOccurrences(of: "layers.1.self_attn", with: "layers.7.self_attn") }
        #expect(try failure(renamed).contains("layers.7.self_attn.q_proj.lora_A.weight"))
        let half = try rewrite { $0.contains("layers.0.self_attn.q_proj.lora_B") ? nil : $0 }
        #expect(try failure(half).contains("layers.0.self_attn.q_proj.lora_B.weight"))
        let other = Fixtures.goldens.appending(path: "qwen2vl_tied_sharded_small")
        #expect(try failure(Self.golden, base: other).contains("lora_"))
        let lost = try copy { $0["base_model_name_or_path"] = "someone/some-model" }
        #expect(try failure(lost, base: nil).contains("someone/some-model"))
        #expect(try failure(TinyQwen2VL.url).contains("adapter_config.json"))
    }

    @Test("An adapter refuses a base with other weights")
    func fingerprint() throws {
        let tiny = try TinyQwen2VL(), out = try TemporaryFolder().url
        try AdapterFolder.write(attached(tiny.model), to: out, family: tiny.folder.family, base: TinyQwen2VL.url)
        let base = try TemporaryFolder().url.appending(path: "base")
        try FileManager.default.copyItem(at: TinyQwen2VL.url, to: base)
        _ = try ModelFolder(base, adapter: out).loadModel()
        let file = base.appending(path: "model.safetensors")
        var bytes = try Data(contentsOf: file)
        // The first number of the first tensor, behind the header.
        let start = 8 + bytes.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        bytes[start] ^= 1
        try bytes.write(to: file)
        #expect(try failure(out, base: base).contains("other weights"))
    }
}
