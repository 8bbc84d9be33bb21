import Foundation
import Safetensors
import TestSupport
import Testing

/// `omma info` and `omma demo`, end to end.
struct InfoTests {
    @Test(arguments: ["qwen2vl_small", "qwen2vl_tied_sharded_small", "qwen2_text_small"])
    func countsAreThoseOfTheFiles(name: String) throws {
        let folder = Fixtures.goldens.appending(path: name).path
        guard FileManager.default.fileExists(atPath: folder + "/config.json") else { return }
        let outcome = try Program.run("info", folder, "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let info = try outcome.json()
        #expect((info["problems"] as? [String]) == [])
        let files = try SafetensorsCheckpoint(directory: folder)
        let elements = files.tensors.values.reduce(0) { $0 + $1.entry.elementCount }
        let parameters = try #require(info["parameters"] as? [String: Int])
        #expect(parameters["total"] == elements)
        #expect(parameters.reduce(0) { $0 + $1.value } == 2 * elements)
        #expect(info["bytes"] as? Int == files.byteCount)
        let parts = try #require(info["parts"] as? [[String: Any]])
        #expect(parts.reduce(0) { $0 + ($1["parameters"] as? Int ?? 0) } == elements)
        #expect(!parts.contains { $0["name"] as? String == "other" })
    }

    @Test func showsPartsAndLimits() throws {
        let outcome = try Program.run("info", Program.model)
        #expect(outcome.status == 0)
        for word in ["vision tower", "connector", "embedding", "decoder", "head", "byte-pair", "2,048 tokens"] {
            #expect(outcome.output.contains(word))
        }
    }

    @Test func saysWhatDoesNotFit() throws {
        let folder = try TemporaryFolder()
        for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
            try folder.write(file, Data(contentsOf: URL(filePath: "\(Program.model)/\(file)")))
        }
        let outcome = try Program.run("info", folder.path)
        #expect(outcome.status == 0, "a folder without weights still has a size")
        #expect(outcome.errors.contains("warning:"))
        #expect(try Program.run("info", folder.path("nothing")).status == 1)
    }

    @Test func presetsNeedNoFolder() throws {
        let info = try Program.run("info", "qwen2-vl-7b", "--json").json()
        let parameters = try #require(info["parameters"] as? [String: Int])
        #expect(Set(parameters.keys) == ["total", "vision", "connector", "embedding", "decoder", "head"])
        #expect(parameters["total"] == 8_291_375_616)
        #expect(info["bytes"] as? Int == 2 * 8_291_375_616)
        #expect(info["preset"] as? String == "qwen2-vl-7b" && info["folder"] == nil)
        let text = try Program.run("info", "Qwen2-VL-7B")
        #expect(text.status == 0 && text.output.contains("8,291,375,616"))
        let unknown = try Program.run("info", "qwen2-vl-8b")
        #expect(unknown.status == 1)
        #expect(unknown.errors.contains("'qwen2-vl-8b'") && unknown.errors.contains("qwen2-vl-7b"))
        #expect(unknown.errors.split(separator: "\n").count == 1)
    }

    @Test func theEnvironmentNamesAModel() throws {
        let named = try Program.run("info", "--json", environment: ["OMMA_MODEL": Program.model])
        #expect(try named.json()["folder"] as? String == Program.model)
        let wrong = try Program.run("info", environment: ["OMMA_MODEL": "/no/such/folder"])
        #expect(wrong.status == 1 && wrong.errors.hasPrefix("omma: "))
    }

    @Test func demosCanBeRepeated() throws {
        let folder = try TemporaryFolder()
        func demo() throws -> (Program.Outcome, Data) {
            let outcome = try Program.run(
                "demo", "--model", Program.model, "--out", folder.path, "--count", "8", "--seed", "5", "--max-tokens",
                "2")
            return (outcome, try Data(contentsOf: folder.url.appending(path: "index.html")))
        }
        let (first, page) = try demo(), (second, again) = try demo()
        #expect(first.status == 0, "\(first.errors)")
        #expect(first.output == second.output && page == again)
        let text = String(decoding: page, as: UTF8.self)
        #expect(text.contains("--seed 5") && text.components(separatedBy: "data:image/png").count == 9)
        #expect(folder.names.filter { $0.hasSuffix(".png") }.count == 8)
    }
}
