import Foundation
import ModelTestSupport
import Models
import NN
import Safetensors
import TestSupport
import Testing
import Torch

/// Checkpoints whose weights are damaged or another model's, loaded as a user would.
@Suite(.serialized) struct WeightFaultTests {
    private func copy(_ name: String = "qwen2vl_small") throws -> URL {
        let url = try TemporaryFolder().url.appending(path: name)
        try FileManager.default.copyItem(
            at: TinyQwen2VL.url.deletingLastPathComponent().appending(path: name), to: url)
        return url
    }

    private func load(_ folder: URL) throws { _ = try ModelFolder(folder).loadModel() }

    @Test func aMissingFileIsAnError() throws {
        let folder = try copy()
        try FileManager.default.removeItem(at: folder.appending(path: "model.safetensors"))
        #expect(throws: (any Error).self) { try load(folder) }
        try Data([1, 2, 3]).write(to: folder.appending(path: "pytorch_model.bin"))
        let error = #expect(throws: (any Error).self) { try load(folder) }
        #expect(String(describing: error).contains("safetensors"))
        let shards = try copy("qwen2vl_tied_sharded_small")
        try FileManager.default.removeItem(at: shards.appending(path: "model-00003-of-00004.safetensors"))
        let missing = #expect(throws: SafetensorsError.self) { try load(shards) }
        #expect("\(try #require(missing))".contains("model-00003-of-00004.safetensors"))
    }

    @Test func aTruncatedFileIsAnError() throws {
        let folder = try copy(), file = folder.appending(path: "model.safetensors")
        let whole = try Data(contentsOf: file)
        for length in [0, 4, 8, 100, whole.count / 2, whole.count - 1] {
            try whole.prefix(length).write(to: file)
            let error = #expect(throws: SafetensorsError.self, "\(length) bytes") { try load(folder) }
            #expect("\(try #require(error))".contains("model.safetensors"))
        }
        try (whole + [0]).write(to: file)
        #expect(throws: SafetensorsError.self) { try load(folder) }
    }

    @Test func aHeaderLongerThanTheFileIsAnError() throws {
        let folder = try copy(), file = folder.appending(path: "model.safetensors")
        var bytes = try Data(contentsOf: file)
        for length in [UInt64(bytes.count), 1 << 40, .max] {
            withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(0..<8, with: $0) }
            try bytes.write(to: file)
            #expect(throws: SafetensorsError.self) { try load(folder) }
        }
    }

    @Test func overlappingTensorsAreAnError() throws {
        let folder = try copy()
        let header =
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#
        let bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) } + Data(header.utf8)
        try (bytes + Data(count: 12)).write(to: folder.appending(path: "model.safetensors"))
        #expect(throws: SafetensorsError.self) { try load(folder) }
    }

    /// Writes the checkpoint's tensors as `change` leaves them.
    private func rewrite(_ folder: URL, _ change: (inout [String: Tensor]) throws -> Void) throws {
        let checkpoint = try SafetensorsCheckpoint(directory: folder.path)
        var tensors = try Dictionary(
            uniqueKeysWithValues: checkpoint.names.map { ($0, try checkpoint.tensor(named: $0).clone()) })
        try change(&tensors)
        let sources = tensors.sorted { $0.key < $1.key }.map { TensorSource(name: $0.key, tensor: $0.value) }
        try SafetensorsWriter.write(path: folder.appending(path: "model.safetensors").path, tensors: sources)
    }

    @Test func everyWrongKeyIsListed() throws {
        let folder = try copy()
        try rewrite(folder) { tensors in
            tensors["model.norm.weight"] = nil
            tensors["visual.merger.mlp.2.bias"] = nil
            tensors["visual.blocks.7.norm1.weight"] = try .ones([32])
            tensors["lm_head.bias"] = try .ones([414])
            tensors["model.layers.1.mlp.up_proj.weight"] = try .ones([72, 100])
            tensors["model.layers.0.input_layernorm.weight"] = try Tensor.ones([72]).to(.int64)
        }
        let error = try #require(#expect(throws: WeightError.self) { try load(folder) })
        #expect(Set(error.problems.missing) == ["model.norm.weight", "visual.merger.mlp.2.bias"])
        #expect(error.problems.unexpected == ["lm_head.bias", "visual.blocks.7.norm1.weight"])
        #expect(error.problems.misshapen.count == 2)
        for name in ["model.layers.1.mlp.up_proj.weight", "[72, 100]", "model.layers.0.input_layernorm.weight"] {
            #expect(error.description.contains(name))
        }
    }

    @Test func newerNamesAreRead() throws {
        let folder = try copy()
        try rewrite(folder) { tensors in
            tensors = Dictionary(
                uniqueKeysWithValues: tensors.map { name, tensor in
                    if name.hasPrefix("visual.") { return ("model." + name, tensor) }
                    if name.hasPrefix("model.") { return ("model.language_" + name, tensor) }
                    return (name, tensor)
                })
        }
        let tiny = try TinyQwen2VL(), renamed = try ModelFolder(folder).loadModel()
        let input = try ModelInput([tiny.prompt("Hi", pictures: [(32, 32)])])
        #expect(try renamed.hiddenStates(input).isEqual(to: tiny.model.hiddenStates(input)))
    }

    @Test func damagedTokenizersAreErrors() throws {
        for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
            let folder = try copy()
            let whole = try Data(contentsOf: folder.appending(path: file))
            try whole.prefix(whole.count / 2).write(to: folder.appending(path: file))
            #expect(throws: (any Error).self) { try ModelFolder(folder) }
        }
    }
}
