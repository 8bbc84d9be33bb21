import Foundation
import NN
import Testing
import Torch

@testable import Models

@Suite struct VisionTransformerTests {
    private static func tower(
        _ change: (inout VisionTransformerConfiguration) -> Void = { _ in }
    ) throws -> (VisionTransformer, ParameterStore) {
        var configuration = VisionTransformerConfiguration(
            hiddenSize: 24, layers: 3, heads: 3, feedForwardSize: 32, patchSize: 4, positions: .table(side: 4),
            keys: .internViT, hasClassToken: true)
        change(&configuration)
        let store = ParameterStore(.random(seed: 2))
        return (try VisionTransformer(configuration, store.root), store)
    }

    private static func pixels(_ pictures: Int = 1, _ height: Int = 16, _ width: Int = 16) throws -> Tensor {
        try RandomGenerator(seed: 8).normal([pictures, 3, height, width])
    }

    private func difference(_ a: Tensor, _ b: Tensor) throws -> Double { try (a - b).abs().amax().item() }

    @Test func aCausalTowerSeesNoLaterPatch() throws {
        let (tower, _) = try Self.tower { configuration in
            configuration.hasClassToken = false
            configuration.positions = .sinusoidal
        }
        let pixels = try Self.pixels(), changed = try pixels.clone()
        try changed.slice(2, 12..<16).fill(0)  // the last row of patches, 12 to 15
        let batch = try PatchBatch(pixels, patchSize: 4), other = try PatchBatch(changed, patchSize: 4)
        let a = try tower(batch, prefixes: [3]).features, b = try tower(other, prefixes: [3]).features
        #expect(try difference(a.slice(0, 0..<12), b.slice(0, 0..<12)) == 0)
        #expect(try difference(a.slice(0, 12..<16), b.slice(0, 12..<16)) > 1e-3)
        // Within the prefix all patches see each other.
        let early = try pixels.clone()
        try early.slice(2, 0..<4).slice(3, 8..<12).fill(0)  // patch 2
        let c = try tower(PatchBatch(early, patchSize: 4), prefixes: [3]).features
        #expect(try difference(a.slice(0, 0..<1), c.slice(0, 0..<1)) > 1e-5)
        let d = try tower(PatchBatch(early, patchSize: 4), prefixes: [2]).features
        let e = try tower(batch, prefixes: [2]).features
        #expect(try difference(d.slice(0, 0..<2), e.slice(0, 0..<2)) == 0)
        // A prefix over everything is plain attention.
        #expect(try difference(tower(batch, prefixes: [16]).features, tower(batch).features) < 1e-6)
    }

    @Test func positionsFollowTheGrid() throws {
        let (tower, store) = try Self.tower()
        let table = try #require(store["embeddings.position_embedding"])
        #expect(table.shape == [1, 17, 24])
        let small = try tower(PatchBatch(Self.pixels(), patchSize: 4))
        #expect(small.features.shape == [17, 24])
        let large = try tower(PatchBatch(Self.pixels(2, 24, 32), patchSize: 4))
        #expect(try large.stacked().shape == [2, 49, 24])
        #expect(try large.patchesOnly().stacked().shape == [2, 48, 24])
        let classes = try #require(try large.classTokens())
        #expect(try difference(large.stacked().select(1, 0), classes) == 0)
    }

    @Test func paddingHeadsTakeNoPartInTheNorm() throws {
        let (tower, store) = try Self.tower { configuration in
            configuration.paddingHeads = 2
            configuration.queryKeyNorm = .acrossHeads
            configuration.norm = .rms
            configuration.keys.projections = .fused("attn.qkv")
        }
        let batch = try PatchBatch(Self.pixels(), patchSize: 4)
        // Behind the padding heads the output layer is blind, so that only the norm could let them through.
        for layer in 0..<3 {
            try #require(store["encoder.layers.\(layer).attn.proj.weight"]).tensor.slice(1, 24..<40).fill(0)
        }
        let before = try tower(batch).features
        for layer in 0..<3 {
            let weight = try #require(store["encoder.layers.\(layer).attn.qkv.weight"]).tensor
            for part in 0..<3 { try weight.slice(0, part * 40 + 24..<part * 40 + 40).fill(7) }
        }
        #expect(try difference(before, tower(batch).features) == 0)
    }

    @Test func earlierLayersRunNoMoreThanNeeded() throws {
        let (tower, _) = try Self.tower()
        let batch = try PatchBatch(Self.pixels(), patchSize: 4)
        var seen: [String] = []
        let context = ForwardContext(observer: { name, _ in seen.append(name) })
        _ = try tower(batch, featureLayer: -2, context)
        #expect(seen.contains("vision.layer1") && !seen.contains("vision.layer2"))
        #expect(throws: ProcessingError.self) { try tower(batch, featureLayer: 4) }
        #expect(throws: ProcessingError.self) { try tower(batch, featureLayer: -5) }
        #expect(throws: ProcessingError.self) { try PatchBatch(Self.pixels(1, 3, 16), patchSize: 4) }
        #expect(throws: ProcessingError.self) { try tower(PatchBatch(Self.pixels(), patchSize: 8)) }
    }

    @Test(arguments: [
        (#"{"hidden_size": 48, "num_attention_heads": 5, "patch_size": 14}"#, "num_attention_heads"),
        (#"{"hidden_size": 48, "num_attention_heads": 4, "patch_size": 0}"#, "patch_size"),
        (#"{"hidden_size": 48, "num_attention_heads": 4, "patch_size": 14, "image_size": 7}"#, "image_size"),
        (#"{"hidden_size": 48, "num_attention_heads": 4, "hidden_act": "tanhish"}"#, "hidden_act"),
        (#"{"hidden_size": 48, "num_attention_heads": 4, "window": 7}"#, "window"),
    ]) func badConfigurations(_ json: String, _ field: String) throws {
        let fields = try JSONDecoder().decode([String: JSONValue].self, from: Data(json.utf8))
        for make in [
            { try VisionTransformerConfiguration(clip: $0) }, { try VisionTransformerConfiguration(siglip: $0) },
        ] as [(ConfigurationReader) throws -> VisionTransformerConfiguration] {
            let reader = ConfigurationReader(file: "some/config.json", fields: fields)
            let error = #expect(throws: ConfigurationError.self) { try make(reader) }
            #expect(error?.field == field && error?.file == "some/config.json")
        }
    }
}
