import Foundation
import TestSupport
import Testing

@testable import Text

/// Files and ids that are wrong.
@Suite struct TokenizerFaultTests {
    private func minimal(_ changes: String = "", model: String = "") -> [UInt8] {
        Array(
            """
            {"added_tokens": [], \(changes.isEmpty ? "" : changes + ",")
             "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"] \(model)}}
            """.utf8)
    }

    private func message(_ bytes: [UInt8]) -> String {
        do {
            _ = try Tokenizer(json: bytes)
            return "no error"
        } catch { return error.description }
    }

    @Test func theSmallestFileLoads() throws {
        let tokenizer = try Tokenizer(json: minimal())
        #expect(try tokenizer.encode("abba") == [2, 1, 0])
        #expect(try tokenizer.decode([2, 1]) == "ab b")
        #expect(throws: TokenizerError.unknownID(3, index: 1, vocabularySize: 3)) { try tokenizer.decode([0, 3]) }
        #expect(throws: TokenizerError.self) { try tokenizer.decode([-1]) }
        var stream = StreamingDetokenizer(tokenizer)
        #expect(throws: TokenizerError.self) { try stream.push(.max) }
        #expect(try stream.push(2) == "ab")
    }

    @Test func errorsNameTheField() {
        #expect(message(minimal(model: #", "dropout": 0.1"#)).contains("model.dropout"))
        #expect(message(minimal(#""normalizer": {"type": "Nmt"}"#)).contains("normalizer.type"))
        #expect(message(minimal(#""pre_tokenizer": {"type": "UnicodeScripts"}"#)).contains("pre_tokenizer.type"))
        #expect(message(minimal(#""decoder": {"type": "CTC"}"#)).contains("decoder.type"))
        #expect(message(minimal(#""post_processor": {"type": "X"}"#)).contains("post_processor.type"))
        let split = #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{Klingon}"}, "behavior": "Isolated"}"#
        #expect(message(minimal(split)).contains("pre_tokenizer.pattern.Regex"))
        let behavior = #""pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Other"}"#
        #expect(message(minimal(behavior)).contains("pre_tokenizer.behavior"))
        #expect(message(Array(#"{"model": {"type": "WordLevel"}}"#.utf8)).contains("model.type"))
        #expect(message(Array(#"{"model": {"vocab": {"a": 5000000}, "merges": []}}"#.utf8)).contains("model.vocab"))
        #expect(message(Array(#"{"model": {"vocab": {"a": 0}, "merges": ["a c"]}}"#.utf8)).contains("merges[0]"))
        #expect(message(Array(#"{"model": {"vocab": {"a": 0}, "merges": ["a"]}}"#.utf8)).contains("merges[0]"))
        #expect(message(Array("{}".utf8)).contains("model"))
        let clash = #""added_tokens": [{"id": 1, "content": "<x>", "normalized": false, "special": true}]"#
        let file = #"{\#(clash), "model": {"vocab": {"a": 0, "b": 1}, "merges": []}}"#
        #expect(message(Array(file.utf8)).contains("<x>"))
    }

    private static let broken: [String] = [
        "", "{", "[]", "{\"a\": 1,}", "{\"a\" 1}", "nul", "\"\\ud800\"", "\"\\x\"", "{\"a\": 1} x", "\"", "1e999",
        "\u{FEFF}{}",
        String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000),
    ]

    @Test(arguments: broken.map(Abbreviated.init)) func brokenJSONIsAnError(_ json: Abbreviated) {
        #expect(throws: TokenizerError.self) { try Tokenizer(json: Array(json.text.utf8)) }
    }

    @Test func bytesThatAreNotUTF8AreAnError() {
        #expect(throws: TokenizerError.self) { try Tokenizer(json: [0x22, 0xFF, 0x22]) }
    }

    @Test func foldersWithoutATokenizerSaySo() throws {
        let folder = try TemporaryFolder()
        #expect(throws: TokenizerError.noTokenizer(directory: folder.path)) {
            try Tokenizer.load(directory: folder.path)
        }
        try FileManager.default.createDirectory(
            atPath: folder.path("tokenizer.json"), withIntermediateDirectories: true)
        #expect(throws: TokenizerError.self) { try Tokenizer.load(directory: folder.path) }
    }

    @Test func aHugeFileIsNotRead() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("tokenizer.json", [])
        #expect(truncate(path, 1 << 40) == 0)
        #expect(throws: TokenizerError.self) { try Tokenizer.load(directory: folder.path) }
    }

    /// `OMMA_FUZZ=20000 swift test --filter mutated` tries so many mutations of each file.
    private static let rounds = ProcessInfo.processInfo.environment["OMMA_FUZZ"].flatMap { Int($0) } ?? 150

    @Test func mutatedFilesNeverTrap() throws {
        var random = SeededGenerator(5)
        var loaded = 0
        for name in TokenizerKindsTests.names {
            let golden = try Data(contentsOf: URL(fileURLWithPath: TokenizerKindsTests.folder + "/" + name))
            // The tokenizer stands on the first line: `{"tokenizer":{...},`.
            let line = [UInt8](golden.prefix { $0 != 0x0A }).dropFirst("{\"tokenizer\":".utf8.count).dropLast()
            #expect(fuzzTokenizerJSON(Array(line)))
            for _ in 0..<Self.rounds where fuzzTokenizerJSON(random.mutated(Array(line))) { loaded += 1 }
        }
        #expect(loaded > 0)
    }

    @Test func mutatedConfigurationsNeverTrap() throws {
        var random = SeededGenerator(6)
        let folder = try Fixtures.path("tokenizer_small")
        let root = try TokenizerGoldens.json(folder + "/tokenizer.json")
        for name in ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"] {
            let file = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)))
            var loaded = 0
            for _ in 0..<Self.rounds {
                let bytes = random.mutated(file)
                guard let node = try? JSONParser.parse(bytes, file: name) else { continue }
                let field = JSONField(node: node, path: "")
                let configuration = try? TokenizerConfiguration(
                    name.hasPrefix("tokenizer") ? field : nil,
                    specialTokensMap: name.hasPrefix("special") ? field : nil,
                    addedTokens: name.hasPrefix("added") ? field : nil)
                guard let configuration, let tokenizer = try? Tokenizer(json: root, configuration: configuration) else {
                    continue
                }
                _ = try? tokenizer.decode(tokenizer.encode("<|im_start|>user\n12 é"), skipSpecialTokens: true)
                loaded += 1
            }
            #expect(loaded > 0)
        }
    }
}

extension SeededGenerator {
    /// The bytes with a few of them changed, left out, doubled or moved; mostly near the beginning, where the fields are.
    mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for _ in 0..<Int.random(in: 1...4, using: &self) {
            let limit = Bool.random(using: &self) ? min(2500, result.count) : result.count
            guard limit > 8 else { return result }
            let at = Int.random(in: 0..<limit, using: &self)
            let length = min(Int.random(in: 1...8, using: &self), result.count - at)
            switch Int.random(in: 0..<7, using: &self) {
            case 0: result[at] = UInt8.random(in: 0...255, using: &self)
            case 1: result[at] = UInt8.random(in: 0x20..<0x7F, using: &self)
            case 2: result.removeSubrange(at..<(at + length))
            case 3: result.insert(contentsOf: result[at..<(at + length)], at: at)
            case 4: result.insert(contentsOf: Array("\"{}[],:0-9e\\u".utf8.shuffled(using: &self).prefix(2)), at: at)
            case 5: result.replaceSubrange(at..<(at + length), with: Array("4194303".utf8.prefix(length)))
            default:
                let other = Int.random(in: 0..<limit, using: &self)
                result.insert(contentsOf: result[other..<min(other + 40, result.count)], at: at)
            }
        }
        return result
    }
}
