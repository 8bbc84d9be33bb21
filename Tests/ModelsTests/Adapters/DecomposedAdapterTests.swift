import Foundation
import Media
import ModelTestSupport
import NN
import Safetensors
import TestSupport
import Testing
import Torch

@testable import Models

@Suite("Adapters whose rows' lengths are learned apart (DoRA)")
struct DecomposedAdapterTests {
    private static let golden = Fixtures.goldens.appending(path: "dora_small")

    private func sequence(_ folder: ModelFolder) throws -> ProcessedSequence {
        let picture = try Image(contentsOf: TinyQwen2VL.url.appending(path: "images/small_a.png").path)
        return try folder.processor.process(
            [Message(.user, [.image(picture), .text("What does the picture show?")])], ProcessingOptions())
    }

    private func file() throws -> SafetensorsFile {
        try SafetensorsFile(path: Self.golden.appending(path: "golden.safetensors").path)
    }

    @Test("One that PEFT wrote gives PEFT's scores, gradients and merged matrices")
    func parity() throws {
        let file = try file(), folder = try ModelFolder(Self.golden), sequence = try sequence(folder)
        let model = try folder.loadModel(dtype: .float32, writable: true)
        let adapters = model.store.parameters.compactMap { parameter in parameter.adapter.map { (parameter, $0) } }
        #expect(adapters.count > 10 && adapters.allSatisfy { $0.1.magnitude != nil })
        var leaves: [(name: String, tensor: Tensor)] = []
        for (parameter, adapter) in adapters {
            let layer =
                "gradient.base_model.model." + LowRankAdapters.layer(of: folder.family.libraryName(parameter.name))
            let parts = [
                (LowRankAdapters.downSuffix, adapter.down), (LowRankAdapters.upSuffix, adapter.up),
                (LowRankAdapters.magnitudeName, try #require(adapter.magnitude)),
            ]
            for (suffix, part) in parts where file.entries["\(layer).\(suffix)"] != nil {
                try part.tensor.setRequiresGradient(true)
                leaves.append(("\(layer).\(suffix)", part.tensor))
            }
        }
        #expect(leaves.count == 12)
        let scores = try withGradient { try model.logits(model.hiddenStates(ModelInput([sequence]))) }
        #expect(try largestDifference(AdapterTests.kept(scores.detach()), file.tensor("logits")) < 2e-3)
        #expect(try largestDifference(file.tensor("base_logits"), file.tensor("logits")) > 0.5)
        let count = sequence.rows.count, targets = try Tensor(sequence.ids.dropFirst().map(Int.init))
        let gradients = try withGradient {
            let loss = try scores.slice(0, 0..<count - 1).crossEntropy(targets, reduction: .mean)
            return try Tensor.gradients(of: [loss], weightedBy: [.scalar(1)], for: leaves.map(\.tensor))
        }
        for (leaf, gradient) in zip(leaves, gradients) {
            let expected = try file.tensor(leaf.name), size = try expected.abs().amax().item()
            #expect(size > 0)
            #expect(try largestDifference(#require(gradient), expected) < 2e-4 * size, "\(leaf.name)")
        }
        var merged = 0
        for (parameter, adapter) in adapters {
            let name = "merged." + folder.family.libraryName(parameter.name)
            guard file.entries[name] != nil else { continue }
            let expected = try file.tensor(name)
            #expect(try largestDifference(adapter.merged(into: parameter.tensor).detach(), expected) < 1e-5)
            #expect(try largestDifference(parameter.tensor, expected) > 0.05)
            merged += 1
        }
        #expect(merged == 4)
    }

    private func attached(_ model: VisionLanguageModel, dropout: Double = 0) throws -> LowRankAdapters {
        try LowRankAdapters(
            attachingTo: model.store.parameters.filter { $0.isLinear && $0.name.contains("proj") },
            .init(rank: 3, alpha: 6, dropout: dropout, isWeightDecomposed: true),
            store: ParameterStore(.random(seed: 8), writable: true))
    }

    @Test("A new one changes nothing, and what is written is read again under PEFT's names")
    func roundTrip() throws {
        let tiny = try TinyQwen2VL(), out = try TemporaryFolder().url
        let sequences = try tiny.mixedPrompts()
        let before = try tiny.model.hiddenStates(ModelInput(sequences))
        let adapters = try attached(tiny.model)
        #expect(try largestDifference(tiny.model.hiddenStates(ModelInput(sequences)), before) < 1e-4)
        let random = try RandomGenerator(seed: 4)
        for parameter in adapters.store.parameters where !parameter.name.hasSuffix(LowRankAdapters.downSuffix) {
            try parameter.tensor.addInPlace(random.normal(parameter.shape), scale: 0.2)
        }
        let after = try tiny.model.hiddenStates(ModelInput(sequences))
        #expect(try largestDifference(after, before) > 0.1)
        try AdapterFolder.write(adapters, to: out, family: tiny.folder.family, base: TinyQwen2VL.url)
        let file = try SafetensorsCheckpoint(directory: out.path, name: "adapter_model")
        let key = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_magnitude_vector"
        #expect(file.names.contains(key) && file.names.count == 3 * adapters.targets.count)
        let again = try ModelFolder(out).loadModel()
        #expect(try again.hiddenStates(ModelInput(sequences)).isEqual(to: after))

        // Without its lengths, and with lengths that nothing asks for, it is refused.
        let configuration = out.appending(path: "adapter_config.json")
        let text = try String(contentsOf: configuration, encoding: .utf8)
        try Data(text.replacingOccurrences(of: "\"use_dora\" : true", with: "\"use_dora\" : false").utf8)
            .write(to: configuration)
        let unasked = #expect(throws: (any Error).self) { try ModelFolder(out).loadModel() }
        #expect("\(unasked!)".contains("lora_magnitude_vector"))
        try Data(text.utf8).write(to: configuration)
        let weights = try SafetensorsFile(path: out.appending(path: "adapter_model.safetensors").path)
        let sources = try weights.names.filter { $0 != key }.map { name in
            Safetensors.TensorSource(name: name, tensor: try weights.tensor(name).clone())
        }
        try SafetensorsWriter.write(path: weights.path, tensors: sources)
        let missing = #expect(throws: (any Error).self) { try ModelFolder(out).loadModel() }
        #expect("\(missing!)".contains("q_proj.lora_magnitude_vector"))
    }

    @Test("Dropout reaches the matrix as PEFT has it, and lengths get no gradient through the rows' own")
    func dropout() throws {
        let layer = try Linear(6, 5, bias: true, ParameterStore(.random(seed: 1)).root["a"])
        let weight = layer.weight, x = try RandomGenerator(seed: 3).normal([4, 6])
        try RandomGenerator(seed: 9).normal(#require(layer.bias).tensor)
        let adapters = try LowRankAdapters(
            attachingTo: [weight], .init(rank: 2, alpha: 3, dropout: 0.4, isWeightDecomposed: true),
            store: ParameterStore(.random(seed: 4)))
        let adapter = try #require(weight.adapter), magnitude = try #require(adapter.magnitude)
        try RandomGenerator(seed: 5).normal(adapter.up.tensor)
        #expect(adapters.targets.count == 1)
        let found = try DropoutRandom.$generator.withValue(RandomGenerator(seed: 7)) { try layer(x) }
        let kept = try RandomGenerator(seed: 7).uniform(x.shape).ge(0.4).to(.float32)
        let dropped = try x * kept * (1 / 0.6)
        let delta = try adapter.up.tensor.matmul(adapter.down.tensor) * 1.5
        let lengths = try (weight.tensor + delta).square().sum([1]).sqrt()
        let factor = try magnitude.tensor / lengths
        let plain = try x.linear(weight.tensor) + #require(layer.bias).tensor
        let expected = try plain + dropped.linear(weight.tensor) * (factor - 1) + dropped.linear(delta) * factor
        #expect(try largestDifference(found, expected) < 1e-5)
        #expect(try largestDifference(layer(x), expected) > 1e-2)
    }
}
