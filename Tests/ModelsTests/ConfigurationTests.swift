import Foundation
import ModelTestSupport
import Models
import TestSupport
import Testing

/// Each field of `config.json` and `preprocessor_config.json` that can be wrong, and the error that names it.
@Suite struct ConfigurationTests {
    private func fields(_ file: String) throws -> [String: Any] {
        let data = try Data(contentsOf: TinyQwen2VL.url.appending(path: file))
        return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    /// The field that the error of a changed file names; nil where there is none.
    private func fault(_ path: String, _ value: Any?, file: String = "config.json") throws -> String? {
        var json = try fields(file)
        let parts = path.split(separator: ".").map(String.init)
        if parts.count == 2 {
            var inner = try #require(json[parts[0]] as? [String: Any])
            inner[parts[1]] = value
            json[parts[0]] = inner
        } else {
            json[path] = value
        }
        let folder = try TemporaryFolder().url.appending(path: "model")
        try FileManager.default.copyItem(at: TinyQwen2VL.url, to: folder)
        try JSONSerialization.data(withJSONObject: json).write(to: folder.appending(path: file))
        do {
            _ = try ModelFolder(folder)
            return nil
        } catch let error as ConfigurationError {
            #expect(error.file.hasSuffix(file) && error.description.contains(error.field))
            return error.field
        }
    }

    @Test(arguments: [
        "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size", "num_hidden_layers",
        "vocab_size", "max_position_embeddings", "vision_config.depth", "vision_config.embed_dim",
        "vision_config.num_heads", "vision_config.patch_size", "vision_config.temporal_patch_size",
        "vision_config.spatial_merge_size",
    ])
    func countsMustBeWholeAndPositive(_ field: String) throws {
        for value: Any in [0, -1, 2.5, "8", true, [8], 1e30, 9_000_000_000_000_000_000] as [Any] {
            #expect(try fault(field, value) != nil, "\(field) = \(value)")
        }
    }

    @Test(arguments: [
        "hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers", "vocab_size", "model_type",
    ])
    func whatIsNeededMustBeThere(_ field: String) throws {
        #expect(try fault(field, nil) == field)
        #expect(try fault(field, NSNull()) == field)
    }

    @Test func fieldsThatContradictEachOther() throws {
        #expect(try fault("num_attention_heads", 5) == "num_attention_heads")
        #expect(try fault("num_key_value_heads", 4) == "num_key_value_heads")
        #expect(try fault("vision_config.num_heads", 3) == "vision_config.num_heads")
        #expect(try fault("vision_config.hidden_size", 64) == "vision_config.hidden_size")
        #expect(try fault("vision_config.in_chans", 1) == "vision_config.in_channels")
        #expect(try fault("vision_config.spatial_patch_size", 14) == "vision_config.spatial_patch_size")
        #expect(try fault("image_token_id", 414) == "image_token_id")
        #expect(try fault("video_token_id", -1) == "video_token_id")
    }

    @Test func sectionsOfThePositions() throws {
        for sections: Any in [[1, 2, 4], [1, 2], [2, 2, 1, 1], [-1, 4, 3], "1,2,3", [1.5, 2, 2.5], [1, 2, "3"]] as [Any]
        {
            let scaling: [String: Any] = ["type": "mrope", "mrope_section": sections]
            #expect(try fault("rope_scaling", scaling)?.hasPrefix("rope_scaling.") == true, "\(sections)")
        }
        #expect(try fault("rope_scaling", ["type": "yarn", "factor": 4.0])?.hasPrefix("rope_scaling.") == true)
        #expect(
            try fault("rope_scaling", ["type": "mrope", "mrope_section": [1, 2, 3], "factor": 2])
                == "rope_scaling.factor")
        #expect(try fault("rope_scaling", "mrope") == "rope_scaling")
        #expect(try fault("rope_scaling", ["rope_type": "default", "mrope_section": [1, 2, 3]]) == nil)
    }

    @Test func whatIsNotKnownIsNotPassedOver() throws {
        #expect(try fault("attn_logit_softcapping", 50.0) == "attn_logit_softcapping")
        #expect(try fault("vision_config.window_size", 112) == "vision_config.window_size")
        #expect(try fault("use_sliding_window", true) == "use_sliding_window")
        #expect(try fault("hidden_act", "mish") == "hidden_act")
        #expect(try fault("vision_config.hidden_act", "mish") == "vision_config.hidden_act")
        #expect(try fault("model_type", "qwen9_vl") == "model_type")
        #expect(try fault("_name_or_path", "x") == nil)
    }

    @Test func theImageProcessorMustFitTheModel() throws {
        let file = "preprocessor_config.json"
        #expect(try fault("patch_size", 14, file: file) == "patch_size")
        #expect(try fault("merge_size", 4, file: file) == "merge_size")
        #expect(try fault("temporal_patch_size", 1, file: file) == "temporal_patch_size")
        #expect(try fault("min_pixels", 1 << 30, file: file) == "min_pixels")
        #expect(try fault("image_mean", [0.5, 0.5], file: file) == "image_mean")
        #expect(try fault("image_std", ["a", "b", "c"], file: file) == "image_std")
        #expect(try fault("image_std", [0, 1, 1], file: file) == "image_std")
        #expect(try fault("do_normalize", false, file: file) == "do_normalize")
        #expect(try fault("resample", 2, file: file) == "resample")
        #expect(try fault("do_pad", true, file: file) == "do_pad")
    }

    @Test(arguments: ["", "{", "[]", "null", "{\"model_type\": }", "\u{FEFF}", "{\"a\": NaN}", "not JSON"])
    func brokenJSONIsAnError(_ text: String) throws {
        for file in ["config.json", "preprocessor_config.json", "generation_config.json"] {
            let folder = try TemporaryFolder().url.appending(path: "model")
            try FileManager.default.copyItem(at: TinyQwen2VL.url, to: folder)
            try Data(text.utf8).write(to: folder.appending(path: file))
            let error = #expect(throws: ConfigurationError.self) { try ModelFolder(folder) }
            #expect(error?.file.hasSuffix(file) == true)
        }
    }

    @Test func foldersThatAreNone() throws {
        let folder = try TemporaryFolder()
        #expect(throws: ConfigurationError.self) { try ModelFolder(folder.url) }
        #expect(throws: ConfigurationError.self) { try ModelFolder(folder.url.appending(path: "missing")) }
        let file = try folder.write("file", [1])
        #expect(throws: ConfigurationError.self) { try ModelFolder(URL(filePath: file)) }
    }
}
