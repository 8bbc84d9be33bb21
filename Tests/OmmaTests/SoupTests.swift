import Foundation
import Safetensors
import TestSupport
import Testing

/// `omma soup`, end to end.
struct SoupTests {
    /// A copy of the small model whose first tensors are changed by `add`.
    private func model(_ name: String, adding add: Float, in folder: TemporaryFolder) throws -> String {
        let target = folder.url.appending(path: name)
        try FileManager.default.copyItem(at: URL(filePath: Program.model), to: target)
        let file = try SafetensorsFile(path: "\(Program.model)/model.safetensors")
        let sources = try file.names.map { name -> TensorSource in
            let entry = try file.entry(name)
            let values = try Self.floats(file, name).map { $0 + add }
            return TensorSource(name: name, dtype: .f32, shape: entry.shape, values: values)
        }
        try SafetensorsWriter.write(path: target.appending(path: "model.safetensors").path, tensors: sources)
        return target.path
    }

    private static func floats(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
        let entry = try file.entry(name), bytes = try file.bytes(of: name)
        switch entry.dtype {
        case .f32: return (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        default:
            // bf16 is the upper half of a float.
            return (0..<bytes.count / 2).map {
                Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) << 16)
            }
        }
    }

    @Test func aUniformSoupIsTheMean() throws {
        let folder = try TemporaryFolder()
        let a = try model("a", adding: 0.25, in: folder), b = try model("b", adding: 0.75, in: folder)
        let outcome = try Program.run("soup", a, b, "--out", folder.path("soup"))
        #expect(outcome.status == 0, "\(outcome.errors)")
        let soup = try SafetensorsFile(path: folder.path("soup/model.safetensors"))
        let first = try SafetensorsFile(path: "\(a)/model.safetensors")
        for name in soup.names {
            let mean = try Self.floats(soup, name), one = try Self.floats(first, name)
            #expect(zip(mean, one).allSatisfy { abs($0 - ($1 + 0.25)) < 1e-6 }, "\(name)")
        }
        #expect(try Program.run("info", folder.path("soup")).status == 0)
        let again = try Program.run("soup", a, b, "--out", folder.path("soup"))
        #expect(again.status == 1 && again.errors.contains("there already"))
    }

    @Test func aGreedySoupLeavesOutWhatHarms() throws {
        let folder = try TemporaryFolder()
        let good = try model("good", adding: 0, in: folder), bad = try model("bad", adding: 1, in: folder)
        let recipe = """
            name: soup
            model: {checkpoint: \(good)}
            held_out:
              samples: 4
              data: [{synthetic: {sides: [112, 140], difficulty: 0}}]
            stages:
              - {name: one, train: all, steps: 1, learning_rate: 0, batch: {tokens: 900}, data: [{synthetic: {}}]}
            """
        try folder.write("recipe.yaml", Data(recipe.utf8))
        let outcome = try Program.run(
            "soup", bad, good, "--out", folder.path("soup"), "--select", "greedy", "--recipe",
            folder.path("recipe.yaml"), "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let candidates = try #require(outcome.json()["candidates"] as? [[String: Any]])
        #expect(candidates.map { $0["isUsed"] as? Bool } == [false, true])
        let soup = try SafetensorsFile(path: folder.path("soup/model.safetensors"))
        let only = try SafetensorsFile(path: "\(good)/model.safetensors")
        for name in soup.names { #expect(try Self.floats(soup, name) == Self.floats(only, name)) }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let folder = try TemporaryFolder()
        let other = Fixtures.goldens.appending(path: "qwen2_text_small").path
        let outcome = try Program.run("soup", Program.model, other, "--out", folder.path("soup"))
        #expect(outcome.status == 1 && outcome.errors.hasPrefix("omma: "))
        #expect(try Program.run("soup", Program.model, "--out", folder.path("soup")).status == 2)
        #expect(!FileManager.default.fileExists(atPath: folder.path("soup")))
    }
}
