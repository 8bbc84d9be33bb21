import Foundation
import Testing

@testable import Text

@Suite struct ChatTemplateFileTests {
    private func withFolder(_ files: [String: String], _ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "omma-" + UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            let url = folder.appending(path: name)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try body(folder)
    }

    @Test func takesTheFirstOfThreeFiles() throws {
        var files = [
            "chat_template.jinja": "jinja", "chat_template.json": #"{"chat_template": "json"}"#,
            "tokenizer_config.json": #"{"chat_template": "config"}"#,
        ]
        for name in ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"] {
            let expected = ["chat_template.jinja": "jinja", "chat_template.json": "json"][name] ?? "config"
            try withFolder(files) { folder in
                let template = try ChatTemplate.load(directory: folder)
                #expect(template?.source == expected)
            }
            files[name] = nil
        }
        for none in [files, ["tokenizer_config.json": "{}"]] {
            try withFolder(none) { folder in
                let template = try ChatTemplate.load(directory: folder)
                #expect(template == nil)
            }
        }
    }

    @Test func choosesAmongNamedTemplates() throws {
        let list = #"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"#
        try withFolder(["tokenizer_config.json": list, "additional_chat_templates/rag.jinja": "r"]) { folder in
            for (name, expected) in [(nil, "d"), ("tool_use", "t"), ("rag", "r")] {
                let template = try ChatTemplate.load(directory: folder, name: name)
                #expect(template?.source == expected)
            }
            #expect(throws: ChatTemplateError.self) { try ChatTemplate.load(directory: folder, name: "nope") }
            #expect(throws: ChatTemplateError.self) { try ChatTemplate.load(directory: folder, name: "../x") }
        }
    }

    @Test(arguments: [
        "{", #"{"chat_template": 1}"#, #"{"chat_template": [{"name": "x"}]}"#, #"{"chat_template": "{% if %}"}"#,
    ])
    func refusesMalformedFiles(text: String) throws {
        try withFolder(["tokenizer_config.json": text]) { folder in
            #expect(throws: ChatTemplateError.self) { try ChatTemplate.load(directory: folder) }
        }
    }

    @Test func readsSpecialTokens() throws {
        let text = #"{"bos_token": null, "eos_token": "</s>", "pad_token": {"content": "<pad>", "special": true}}"#
        try withFolder(["tokenizer_config.json": text]) { folder in
            let tokens = try ChatTemplate.specialTokens(directory: folder)
            #expect(tokens == ["eos_token": "</s>", "pad_token": "<pad>"])
        }
    }

    @Test func tellsTheTimeAsPython() throws {
        let template = try ChatTemplate("{{ strftime_now('%d %b %Y|%-d|%H:%M:%S.%f|%A %j %y %I %p|%Z|%%|%') }}")
        let date = Date(timeIntervalSince1970: 1_709_210_096.25)
        #expect(
            try template.render([:], clock: .fixed(date)).string
                == "29 Feb 2024|29|12:34:56.250000|Thursday 060 24 12 PM||%|%")
    }
}

@Suite struct OrderedJSONTests {
    @Test func keepsOrderAndKinds() throws {
        let json = try OrderedJSON(parsing: #" {"z": [1, -2.5e3, true, null], "a": "\u00e9\ud83d\ude00\n", "z2": {}} "#)
        #expect(
            json
                == .object([
                    .init(key: "z", value: .array([.int(1), .double(-2500), .bool(true), .null])),
                    .init(key: "a", value: .string("é😀\n")), .init(key: "z2", value: .object([])),
                ]))
        #expect(try OrderedJSON(parsing: #"{"a": 1, "b": 2, "a": 3}"#)["a"] == .int(3))
        #expect(try OrderedJSON(parsing: "1000000000000000019884624838656") == .double(1e30))
    }

    @Test(arguments: [
        "", "{", "[1,]", #"{"a": 1,}"#, "01", "1.", "-", "+1", "NaN", "tru", "'a'", #""\x""#, #""\ud800""#, "\"\n\"",
        "[1] 2", #"{"a" 1}"#, "{1: 2}", "1e999", #""\u12"#, "\"", "[[[[[[[[[",
    ])
    func refusesWhatIsNotJSON(text: String) {
        #expect(throws: OrderedJSON.ParseError.self) { try OrderedJSON(parsing: text) }
    }

    @Test func namesThePlace() {
        let error = #expect(throws: OrderedJSON.ParseError.self) { try OrderedJSON(parsing: "{\n  \"a\": x\n}") }
        #expect(error?.line == 2)
        #expect(error?.column == 8)
    }

    @Test func limitsDepthAndSize() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: OrderedJSON.ParseError.self) { try OrderedJSON(parsing: deep) }
        #expect(throws: OrderedJSON.ParseError.self) { try OrderedJSON(parsing: "[1, 2]", maximumBytes: 5) }
    }
}
