import Evaluation
import Foundation
import Goldens
import TestSupport
import Testing

/// The verifier must fail where something is wrong, or its success means nothing.
@Suite struct VerifierFaultTests {
    /// A copy of an own golden folder under a name that says nothing.
    private func copy(_ name: String) throws -> URL {
        let url = try TemporaryFolder().url.appending(path: "goldens")
        try FileManager.default.copyItem(at: Fixtures.goldens.appending(path: name), to: url)
        return url
    }

    private func edit(_ file: URL, _ change: (inout String) -> Void) throws {
        var text = try String(contentsOf: file, encoding: .utf8)
        let before = text
        change(&text)
        #expect(text != before, "the fault was not planted")
        try text.write(to: file, atomically: true, encoding: .utf8)
    }

    private func failures(_ folder: URL) throws -> [String] {
        let report = try Verifier.verify(folder: folder)
        #expect(!report.holds)
        return report.lines.filter { !$0.holds }.map(\.name)
    }

    @Test(arguments: [
        ("tokenizer_small", "tokenizer"), ("chat_templates", "chat templates"), ("images", "images"),
        ("resize_small", "resize"), ("smart_resize_small", "smart resize"),
    ])
    func theKindFollowsFromTheContent(_ name: String, _ kind: String) throws {
        let report = try Verifier.verify(folder: copy(name))
        #expect(report.kind == kind)
        #expect(report.holds)
    }

    @Test func aWrongIdFails() throws {
        let folder = try copy("tokenizer_small")
        try edit(folder.appending(path: "tokenizer_golden.json")) {
            $0 = $0.replacingOccurrences(of: #"{"text":"  ","ids":[272]"#, with: #"{"text":"  ","ids":[273]"#)
        }
        let names = try failures(folder)
        #expect(names.contains("encode[2].ids") && names.allSatisfy { $0.hasPrefix("encode[2].") })
    }

    @Test func aWrongRenderingAndAMissingErrorFail() throws {
        let folder = try copy("chat_templates")
        try edit(folder.appending(path: "language.jsonl")) {
            $0 = $0.replacingOccurrences(of: #""rendered": "5.0""#, with: #""rendered": "5.1""#)
            $0 += #"{"name": "no error", "template": "{{ 1 }}", "error": "any"}"# + "\n"
            $0 += #"{"name": "an error", "template": "{% if %}", "rendered": ""}"# + "\nnot JSON\n"
        }
        let names = try failures(folder)
        #expect(names.contains("language/0") && names.contains("no error") && names.contains("an error"))
        #expect(names.contains { $0.hasPrefix("language.jsonl:") }, "the line that is not JSON")
    }

    @Test func aWrongHashAndAMissingPictureFail() throws {
        let folder = try copy("images")
        try FileManager.default.removeItem(at: folder.appending(path: "tiny.png"))
        try edit(folder.appending(path: "golden.json")) {
            $0 = $0.replacingOccurrences(of: "78b95adda45e6886", with: "78b95adda45e6887")
        }
        #expect(try failures(folder) == ["alpha.png.rgba_over_white_rgb", "tiny.png"])
    }

    @Test func anotherPictureFailsToResizeTheSame() throws {
        let folder = try copy("resize_small")
        let picture = folder.appending(path: "scene.png")
        try FileManager.default.removeItem(at: picture)
        try FileManager.default.copyItem(at: folder.appending(path: "extremes.png"), to: picture)
        #expect(try failures(folder).count > 40)
    }

    @Test func aWrongSizeFails() throws {
        let folder = try copy("smart_resize_small")
        try edit(folder.appending(path: "golden.json")) {
            $0 = $0.replacingOccurrences(of: #""transformers_5":[476,644]"#, with: #""transformers_5":[476,672]"#)
        }
        #expect(try !failures(folder).isEmpty)
    }

    @Test func anotherModelFails() throws {
        let folder = try copy("qwen2_text_small")
        try edit(folder.appending(path: "config.json")) {
            $0 = $0.replacingOccurrences(of: "\"rms_norm_eps\": 1e-05", with: "\"rms_norm_eps\": 1e-02")
        }
        #expect(try failures(folder).contains { $0.hasSuffix(".logits") })
    }

    @Test func wrongTilesFail() throws {
        let folder = try TemporaryFolder()
        func report(_ grid: String) throws -> VerifyReport {
            let golden = #"{"candidate_order": {"2": [[1, 1], [1, 2], [2, 1]]}, "rows": [{"w": 896, "h": 448, "max2": "#
            try folder.write("golden.json", Array((golden + grid + "}]}").utf8))
            return try Verifier.verify(folder: folder.url)
        }
        #expect(try report("[2, 1, 3]").holds && report("[2, 1, 3]").kind == "InternVL tiling")
        #expect(try !report("[1, 2, 3]").holds)
        #expect(try !report("[2, 1, 2]").holds)
    }

    @Test(arguments: ["", "{", "[1, 2", #"{"a": 1, "a": 2}"#, "{}", "[]", "\u{0}"])
    func brokenGoldensAreErrors(_ text: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("golden.json", Array(text.utf8))
        #expect(throws: GoldenError.self) { try Verifier.verify(folder: folder.url) }
    }

    @Test func foldersWithoutGoldensAreErrors() throws {
        let folder = try TemporaryFolder()
        #expect(throws: GoldenError.self) { try Verifier.verify(folder: folder.url) }
        #expect(throws: GoldenError.self) { try Verifier.verify(folder: folder.url.appending(path: "none")) }
    }
}
