import Data
import Foundation
import TestSupport
import Testing

@testable import Training

@Suite("Runs of recipes")
struct TrainerTests {
    private func saved(_ folder: URL, _ step: Int) throws -> [Data] {
        try ["model.safetensors", "training/optimizer.safetensors"].map {
            try Data(contentsOf: folder.appending(path: "run/\(CheckpointStore.name(step))/\($0)"))
        }
    }

    /// Runs until `stop` steps are done.
    @Test("A run that was stopped and resumed equals one that was not, bit for bit", arguments: [1, 3, 4, 5, 6])
    func resume(_ stop: Int) throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let straight = try run(tinyRecipe(whole))
        let first = try run(tinyRecipe(parts), stop: stop)
        let second = try run(tinyRecipe(parts), resume: true)
        #expect((first.steps + second.steps).map(\.report.loss) == straight.steps.map(\.report.loss))
        #expect(straight.steps.count == 7)
        #expect(try saved(whole.url, 7) == saved(parts.url, 7))
    }

    @Test("A resumed run outlives the checkpoint that it began from")
    func pruned() throws {
        let folder = try TemporaryFolder()
        let settings = ["keep=1", "stages.first.checkpoint_every=1", "stages.second.checkpoint_every=1"]
        try run(tinyRecipe(folder, settings), stop: 2)
        #expect(try run(tinyRecipe(folder, settings), resume: true).steps.last?.step == 7)
    }

    @Test("One that saves memory in every way resumes to the same bits", arguments: [2, 5])
    func resumeWithLessMemory(_ stop: Int) throws {
        let overrides = [
            "stages.first.memory={moment_bits: 8, recompute: [tower, decoder], loss_rows: 8}",
            "stages.second.memory={moment_bits: 8}",
        ]
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        try run(tinyRecipe(whole, overrides))
        try run(tinyRecipe(parts, overrides), stop: stop)
        try run(tinyRecipe(parts, overrides), resume: true)
        #expect(try saved(whole.url, 7) == saved(parts.url, 7))
    }

    @Test("Neither workers nor threads change a run")
    func threads() throws {
        let one = try TemporaryFolder(), many = try TemporaryFolder()
        try run(tinyRecipe(one, ["workers=1", "threads=2"]))
        try run(tinyRecipe(many, ["workers=3", "threads=2"]))
        #expect(try saved(one.url, 7) == saved(many.url, 7))
    }

    @Test("A checkpoint is a model's folder like any other")
    func checkpointOpens() throws {
        let folder = try TemporaryFolder()
        try run(tinyRecipe(folder, ["model.max_pixels=4096"]))
        let checkpoint = folder.url.appending(path: "run/step-000007")
        #expect(try String(contentsOf: folder.url.appending(path: "run/latest"), encoding: .utf8) == "step-000007\n")
        let again = try tinyRecipe(
            folder,
            [
                "model={checkpoint: \(checkpoint.path)}", "output=\(folder.path("again"))", "stages.first.steps=1",
            ])
        #expect(try run(again, stop: 1).steps.count == 1)
        let processor = try String(contentsOf: checkpoint.appending(path: "preprocessor_config.json"), encoding: .utf8)
        #expect(processor.contains("4096"))
    }

    @Test("A damaged checkpoint is named and passed over")
    func damaged() throws {
        let folder = try TemporaryFolder()
        try run(tinyRecipe(folder))
        let newest = folder.url.appending(path: "run/step-000007/training/optimizer.safetensors")
        var bytes = try Data(contentsOf: newest)
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: newest)
        let recorder = try run(tinyRecipe(folder), resume: true)
        #expect(recorder.notes.contains { $0.contains("step-000007") && $0.contains("optimizer.safetensors") })
        #expect(recorder.steps.first?.step == 7)
    }

    @Test("Neither an existing run nor a changed recipe is run over")
    func refusals() throws {
        let folder = try TemporaryFolder()
        #expect(throws: CheckpointError.self) { try run(tinyRecipe(folder), resume: true) }
        try run(tinyRecipe(folder), stop: 1)
        #expect(throws: CheckpointError.self) { try run(tinyRecipe(folder)) }
        let error = try #require(throws: CheckpointError.self) {
            try run(tinyRecipe(folder, ["stages.first.learning_rate=0.5"]), resume: true)
        }
        #expect("\(error)".contains("learning_rate"))
        try run(tinyRecipe(folder, ["keep=5", "workers=2"]), resume: true)
    }

    @Test("Only the newest checkpoints are kept")
    func rotation() throws {
        let folder = try TemporaryFolder()
        try run(tinyRecipe(folder, ["keep=2", "stages.first.checkpoint_every=1"]))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("run")).filter {
            $0.hasPrefix("step-")
        }
        #expect(names.sorted() == ["step-000006", "step-000007"])
    }

    @Test("Stages say what learns, and a pattern that fits nothing is refused")
    func stages() throws {
        let folder = try TemporaryFolder()
        let recorder = try run(tinyRecipe(folder))
        #expect(recorder.stages.map(\.name) == ["first", "second"])
        #expect(recorder.stages[1].parts.first { $0.part == "tower" }?.learning == 0)
        let other = try TemporaryFolder()
        #expect(throws: TrainingError.self) { try run(tinyRecipe(other, ["stages.first.train=[visual.nothing.*]"])) }
    }

    @Test("Samples that do not fit are counted, and too many of them end the run")
    func skipped() throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: TrainingError.self) {
            try run(tinyRecipe(folder, ["stages.first.batch.tokens=80"]))
        }
        #expect("\(error)".contains("tooLong"))
    }

    @Test("Pictures read from files train as the same ones drawn do")
    func files() throws {
        let folder = try TemporaryFolder()
        let options = SyntheticOptions(seed: 6, sides: 112...140)
        let data = folder.url.appending(path: "data")
        try SyntheticGenerator(options).write(to: data, count: 5)
        let file = try ConversationFile(data.appending(path: "data.jsonl"))
        let source = ConversationSource(file, sampling: nil), drawn = try SyntheticSource(options)
        for index in 0..<5 {
            #expect(try source.sample(at: index).conversation == drawn.sample(at: index).conversation)
        }
        let list = "[{jsonl: \(data.path)/data.jsonl}]"
        let recorder = try run(tinyRecipe(folder, ["stages.first.data=\(list)"]), stop: 3)
        #expect(recorder.steps.count == 3 && recorder.unusable.isEmpty)
    }

    @Test("Held-out samples are measured the same each time")
    func heldOut() throws {
        let overrides = [
            "held_out={samples: 4, data: [{synthetic: {split: held-out, sides: [112, 140], tasks: {color: 1}}}]}",
            "stages.first.evaluate_every=2", "stages.first.learning_rate=0",
        ]
        let folder = try TemporaryFolder()
        let recorder = try run(tinyRecipe(folder, overrides))
        #expect(recorder.evaluations.map(\.step) == [2, 4])
        #expect(recorder.evaluations[0].loss == recorder.evaluations[1].loss)
        #expect(recorder.evaluations[0].loss > 3)
    }
}
