import Data
import Foundation
import Media
import Testing

@Suite struct SyntheticWriterTests {
    private func withFolder(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("omma-synth-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }

    @Test func linesHoldMessagesAndImages() throws {
        try withFolder { folder in
            let generator = try SyntheticGenerator(SyntheticOptions(seed: 2))
            let target = folder.appendingPathComponent("set")
            let manifest = try generator.write(to: target, count: 25, from: 100)
            let lines = try String(contentsOf: target.appendingPathComponent("data.jsonl"), encoding: .utf8)
                .split(separator: "\n")
            #expect(lines.count == 25)
            #expect(manifest.count == 25 && manifest.tasks.values.reduce(0, +) == 25)
            for (offset, line) in lines.enumerated() {
                let sample = try generator.sample(at: 100 + offset)
                let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
                let fields = try #require(object as? [String: Any])
                let messages = try #require(fields["messages"] as? [[String: String]])
                #expect(messages.map { $0["role"] } == sample.turns.flatMap { _ in ["user", "assistant"] })
                #expect(messages[0]["content"] == "<image>" + sample.turns[0].question)
                #expect(messages[messages.count - 1]["content"] == sample.turns[sample.turns.count - 1].answer)
                let placeholders = messages.compactMap { $0["content"] }.joined().components(separatedBy: "<image>")
                let images = try #require(fields["images"] as? [String])
                #expect(placeholders.count - 1 == images.count)
                let png = try Data(contentsOf: target.appendingPathComponent(images[0]))
                #expect(png.starts(with: [0x89, 0x50, 0x4E, 0x47]))
                #expect(fields["task"] as? String == sample.task.rawValue)
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(left == ["set"])
            let stored = try JSONDecoder().decode(
                SyntheticGenerator.Manifest.self, from: Data(contentsOf: target.appendingPathComponent("manifest.json"))
            )
            #expect(stored == manifest)
        }
    }

    @Test func existingDirectoriesAreLeftAlone() throws {
        try withFolder { folder in
            let generator = try SyntheticGenerator(SyntheticOptions())
            #expect(throws: SyntheticError.exists(path: folder.path)) { try generator.write(to: folder, count: 1) }
            #expect(throws: SyntheticError.count(0)) {
                try generator.write(to: folder.appendingPathComponent("set"), count: 0)
            }
        }
    }
}
