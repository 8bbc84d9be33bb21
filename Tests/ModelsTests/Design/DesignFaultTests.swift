import ModelTestSupport
import Models
import Testing

/// Configurations that cannot be used: the error names the field and the file.
@Suite struct DesignFaultTests {
    static let faults: [(type: String, field: String, value: JSONValue?)] = [
        ("internvl_chat", "ps_version", .string("v3")), ("internvl_chat", "template", .string("vicuna")),
        ("internvl_chat", "downsample_ratio", .number(0.3)), ("internvl_chat", "force_image_size", .number(20)),
        ("internvl_chat", "select_layer", .number(-4)), ("internvl_chat", "use_llm_lora", .number(16)),
        ("internvl_chat", "min_dynamic_patch", .number(9)), ("internvl_chat", "max_dynamic_patch", .number(0)),
        ("internvl_chat", "something_new", .bool(true)), ("internvl_chat", "llm_config", .string("no object")),
        ("internvl_chat", "llm_config.num_attention_heads", .number(5)),
        ("internvl_chat", "llm_config.num_key_value_heads", .number(3)),
        ("internvl_chat", "llm_config.architectures", .array([.string("GPT2LMHeadModel")])),
        ("internvl_chat", "llm_config.vocab_size", nil), ("internvl_chat", "llm_config.hidden_act", .string("mish")),
        ("internvl_chat", "llm_config.use_sliding_window", .bool(true)),
        ("internvl_chat", "vision_config.num_attention_heads", .number(3)),
        ("internvl_chat", "vision_config.norm_type", .string("batch_norm")),
        ("internvl_chat", "vision_config.num_channels", .number(1)),
        ("NVLM_D", "tile_tag_type", .string("3d")), ("NVLM_D", "template", .string("Hermes-2")),
        ("NVLM_X", "tile_tag_type", .string("none")), ("NVLM_X", "cross_attention_every", nil),
        ("NVLM_H", "cross_attention_every", .number(3)), ("points_chat", "vision_config.image_size", .number(20)),
    ]

    @Test(arguments: faults) func fieldsAreNamed(_ type: String, _ field: String, _ value: JSONValue?) throws {
        let error = #expect(throws: ConfigurationError.self) { try TinyTiled(type, [field: value]) }
        #expect(error?.field == field && error?.file == "config.json", "\(error.map(\.description) ?? "no error")")
    }

    @Test(arguments: [
        ("yarn", "rope_type"), ("dynamic", "factor"), ("linear", "factor"), ("longrope", "short_factor"),
        ("mrope", "mrope_section"), ("llama3", "original_max_position_embeddings"),
    ]) func ropeScaling(_ type: String, _ field: String) throws {
        let scaling = JSONValue.object(
            ["rope_type": .string(type)].merging(type == "llama3" ? ["factor": .number(8)] : [:]) { $1 })
        let error = #expect(throws: ConfigurationError.self) {
            try TinyTiled("internvl_chat", ["llm_config.rope_scaling": scaling])
        }
        #expect(error?.field == "llm_config.rope_scaling.\(field)")
    }

    @Test func aVocabularyThatIsTooSmall() throws {
        let error = #expect(throws: ConfigurationError.self) {
            try TinyTiled("internvl_chat", ["llm_config.vocab_size": .number(416)])
        }
        #expect(error?.field == "vocab_size" && error?.file.hasSuffix("config.json") == true)
        #expect(error?.reason.contains("<IMG_CONTEXT>") == true)
    }

    @Test func unknownTypesListTheKnownOnes() throws {
        let error = #expect(throws: ConfigurationError.self) { try TinyTiled("llava") }
        #expect(error?.field == "model_type" && error?.reason.contains("internvl_chat") == true)
    }

    @Test func pictures() throws {
        let tiny = try TinyTiled("NVLM_D")
        #expect(throws: ProcessingError.self) { try tiny.processor.limitingTiles(0) }
        #expect(throws: ProcessingError.self) { try tiny.processor.limitingPixels(min: nil, max: 100) }
        #expect(throws: ProcessingError.self) { try tiny.processor.imageTokenCount(width: 0, height: 4) }
        #expect(throws: ProcessingError.self) { try tiny.processor.imageTokenCount(width: .max, height: 2) }
        #expect(throws: ProcessingError.self) {
            try tiny.prompt(String(repeating: "many words ", count: 400), pictures: [(16, 16)])
        }
        let patches = try TinyQwen2VL().prompt("?", pictures: [(32, 32)])
        #expect(throws: ProcessingError.self) { try tiny.hiddenStates([patches]) }
        #expect(try tiny.processor.limitingTiles(2).imageTokenCount(width: 300, height: 300) == 4)
    }
}
