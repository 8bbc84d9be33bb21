import Media
import NN
import Testing
import Torch

@testable import Models

@Suite struct MM1Tests {
    private static func configuration(
        _ connector: String = #"{"type": "c-abstractor", "tokens": 4, "hidden_size": 16, "depth": 1}"#,
        experts: Bool = false, vision: String = "", extra: String = ""
    ) -> String {
        """
        {
          "model_type": "mm1"\(extra),
          "vision_config": {\(vision) "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 32, "patch_size": 14, "image_size": 56},
          "connector": \(connector),
          "llm_config": {
            "architectures": ["\(experts ? "Mixtral" : "Llama")ForCausalLM"], "hidden_size": 32,
            \(experts ? #""num_local_experts": 4, "num_experts_per_tok": 2, "expert_layer_period": 2,"# : "")
            "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64,
            "max_position_embeddings": 512
          }
        }
        """
    }

    private static func design(_ json: String) throws -> ModelDesign {
        try #require(ModelRegistry.configuration(ConfigurationReader(json: json, file: "config.json")) as? ModelDesign)
    }

    /// Text around a picture's places.
    private static func sequence(_ design: ModelDesign, _ width: Int, _ height: Int) throws -> ProcessedSequence {
        var picture = Image(width: width, height: height, red: 200, green: 30, blue: 90)
        for place in stride(from: 0, to: picture.pixels.count, by: 7) { picture.pixels[place] = UInt8(place % 251) }
        let item = try #require(design.imagePolicy).item(picture)
        let ids = [3, 5] + [Int](repeating: 9, count: item.tokenCount) + [7, 11]
        let rows = ids.enumerated().map { index, id in
            TokenRow(
                id: Int32(id), position: SIMD3(repeating: Int32(index)), isSupervised: index > item.tokenCount + 1,
                item: index > 1 && index < 2 + item.tokenCount ? 0 : -1)
        }
        return ProcessedSequence(rows: rows, items: [item], nextPosition: Int32(rows.count), promptText: "")
    }

    @Test(arguments: [
        #"{"type": "c-abstractor", "tokens": 4, "hidden_size": 16, "depth": 1}"#,
        #"{"type": "average-pool", "tokens": 4}"#, #"{"type": "attention-pool", "tokens": 5, "heads": 4}"#,
        #"{"type": "mlp"}"#,
    ]) func everyConnectorSeesThePicture(_ connector: String) throws {
        let design = try Self.design(Self.configuration(connector))
        let model = try design.makeModel(ParameterStore(.random(seed: 4)))
        let one = try Self.sequence(design, 80, 60), other = try Self.sequence(design, 20, 90)
        let packed = try model.hiddenStates(ModelInput([one, other]))
        let alone = try model.hiddenStates(ModelInput([other]))
        let count = one.rows.count
        #expect(try (packed.slice(0, count..<packed.size(0)) - alone).abs().amax().item() < 1e-5)
        #expect(try (packed.slice(0, count - 1..<count) - alone.slice(0, count - 1..<count)).abs().amax().item() > 1e-6)
    }

    @Test func subImagesAndOtherSizes() throws {
        let design = try Self.design(Self.configuration(extra: #", "image_size": 84, "sub_images": 2"#))
        let sequence = try Self.sequence(design, 300, 200)
        #expect(sequence.items[0].pixels.shape == [5, 3, 84, 84])
        #expect(sequence.imageTokenCount == 5 * 4)
        let model = try design.makeModel(ParameterStore(.random(seed: 4)))
        #expect(try model.hiddenStates(ModelInput([sequence])).shape == [sequence.rows.count, 32])
    }

    @Test func picturesThatAreNoSquares() throws {
        func pixels(_ extra: String) throws -> Tensor {
            try Self.sequence(Self.design(Self.configuration(extra: extra)), 90, 30).items[0].pixels
        }
        let stretched = try pixels(""), padded = try pixels(#", "image_fit": "pad""#)
        let cropped = try pixels(#", "image_fit": "center-crop""#)
        #expect(try stretched.isEqual(to: pixels(#", "image_fit": "stretch""#)))
        #expect(padded.shape == stretched.shape && cropped.shape == stretched.shape)
        // The field above a flat picture is as good as nothing; those of the others are picture.
        #expect(try padded.slice(2, 0..<4).abs().amax().item() < 0.02)
        #expect(try stretched.slice(2, 0..<4).abs().amax().item() > 0.1)
        #expect(try !cropped.isEqual(to: stretched))
        #expect(throws: ConfigurationError.self) { try pixels(#", "image_fit": "tile""#) }
        #expect(throws: ConfigurationError.self) { try pixels(#", "image_fit": "pad", "sub_images": 2"#) }
    }

    @Test func anAutoregressiveTowerServes() throws {
        let design = try Self.design(Self.configuration(vision: #""model_type": "aim","#))
        let model = try design.makeModel(ParameterStore(.random(seed: 4)))
        let sequence = try Self.sequence(design, 50, 50)
        #expect(try model.hiddenStates(ModelInput([sequence])).shape == [8, 32])
    }

    @Test func expertsStandInEverySecondLayer() throws {
        let design = try Self.design(Self.configuration(experts: true))
        let model = try design.makeModel(ParameterStore(.random(seed: 4)))
        #expect(model.decoder.layers[0].feedForward is GatedFeedForward)
        #expect(model.decoder.layers[1].feedForward is MixtureOfExperts)
        let context = ForwardContext()
        context.routings = []
        let sequence = try Self.sequence(design, 50, 50)
        let asked = try model.hiddenStates(ModelInput([sequence]), context)
        #expect(context.routings?.map { $0.counts.reduce(0, +) } == [2 * sequence.rows.count])
        // Who asks how tokens were dealt out changes nothing.
        #expect(try asked.isEqual(to: model.hiddenStates(ModelInput([sequence]))))
        let name = "language_model.model.layers.1.block_sparse_moe.experts.3.w2.weight"
        #expect(model.store[name]?.shape == [32, 48])
    }

    @Test(arguments: [
        ("mm1-3b", 3.0), ("mm1-7b", 7.5), ("mm1-30b", 30.7), ("mm1-3b-moe-64e", 64.0), ("mm1-7b-moe-32e", 47.3),
    ]) func decodersHaveThePublishedSizes(_ name: String, _ billions: Double) throws {
        let family = try Preset.named(name).family()
        let model = try family.makeModel(ParameterStore(.shapes))
        let parts: Set<ModelPart> = [.decoder, .embedding, .head]
        let count = model.store.parameters.reduce(0) { $0 + (parts.contains(family.part(of: $1.name)) ? $1.count : 0) }
        #expect(abs(Double(count) / 1e9 - billions) / billions < 0.025)
    }

    @Test func qwenVLHasThePublishedSizes() throws {
        let family = try Preset.named("qwen-vl-7b").family()
        var counts: [ModelPart: Double] = [:]
        for parameter in try family.makeModel(ParameterStore(.shapes)).store.parameters {
            counts[family.part(of: parameter.name), default: 0] += Double(parameter.count) / 1e9
        }
        #expect(abs((counts[.visionTower] ?? 0) - 1.9) < 0.05)
        #expect(abs((counts[.connector] ?? 0) - 0.08) < 0.005)
        #expect(abs(counts.values.reduce(0, +) - 9.6) < 0.1)
    }

    @Test(arguments: [
        (#"{"type": "d-abstractor"}"#, false, "", "connector.type"),
        (#"{"type": "average-pool", "tokens": 5}"#, false, "", "connector.tokens"),
        (#"{"type": "average-pool", "tokens": 25}"#, false, "", "connector.tokens"),
        (#"{"type": "attention-pool", "tokens": 5, "heads": 5}"#, false, "", "connector.heads"),
        (#"{"type": "mlp", "tokens": 5}"#, false, "", "connector.tokens"),
        (#"{"type": "average-pool", "tokens": 4, "depth": 2}"#, false, "", "connector.depth"),
        (#"{"type": "average-pool", "tokens": 4}"#, true, #", "feature_layer": -4"#, "feature_layer"),
        (#"{"type": "average-pool", "tokens": 4}"#, true, #", "chat_format": "raw""#, "chat_format"),
    ]) func badConfigurations(_ connector: String, _ experts: Bool, _ extra: String, _ field: String) throws {
        let json = Self.configuration(connector, experts: experts, extra: extra)
        let error = #expect(throws: ConfigurationError.self) { try Self.design(json) }
        #expect(error?.field == field && error?.file == "config.json")
    }

    @Test(arguments: [
        ("\"output_dim\": 4096", "\"output_dim\": 4100", "visual.output_dim"),
        ("\"heads\": 16", "\"heads\": 15", "visual.heads"),
        ("\"image_size\": 448", "\"image_size\": 450", "visual.image_size"),
        ("\"patch_size\": 14", "\"patch_size\": 14, \"n_queries\": 200", "visual.n_queries"),
        ("\"kv_channels\": 128", "\"kv_channels\": 64", "kv_channels"),
        ("\"rotary_pct\": 1.0", "\"rotary_pct\": 0.5", "rotary_pct"),
        ("\"no_bias\": true", "\"no_bias\": false", "no_bias"),
    ]) func badQwenVLConfigurations(_ good: String, _ bad: String, _ field: String) throws {
        let json = try Preset.named("qwen-vl-7b").configuration.replacing(good, with: bad)
        let error = #expect(throws: ConfigurationError.self) {
            try ModelRegistry.configuration(ConfigurationReader(json: json, file: "config.json"))
        }
        #expect(error?.field == field && error?.file == "config.json")
    }
}
