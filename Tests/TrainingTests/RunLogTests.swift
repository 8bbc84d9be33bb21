import Data
import Foundation
import Models
import Terminal
import TestSupport
import Testing
import Torch

@testable import Training

@Suite("What a run tells")
struct RunLogTests {
    static let heldOut = [
        "held_out={samples: 4, blind: true, data: [{synthetic: {split: held-out, sides: [112, 140], tasks: {color: 1}}}]}",
        "stages.first.evaluate_every=2", "stages.first.log_every=2",
    ]

    /// Runs a recipe with a log, and gives the log's lines.
    private func logged(_ loaded: Recipe.Loaded, resume: Bool = false, stop: Int? = nil) throws -> [LogLine] {
        let log = try RunLog(
            folder: URL(fileURLWithPath: loaded.recipe.output),
            output: .init(descriptor: open("/dev/null", O_WRONLY), terminal: false))
        let trainer = try Trainer(loaded, resume: resume, observer: log)
        trainer.shouldStop = { step in stop.map { step >= $0 } ?? false }
        _ = try trainer.run()
        log.finish()
        return try LogLine.read(loaded.recipe.output + "/log.jsonl")
    }

    @Test("Lines tell speed, memory, how full rows are, norms by part and where data came from")
    func lines() throws {
        let folder = try TemporaryFolder()
        let lines = try logged(tinyRecipe(folder, Self.heldOut))
        let steps = lines.filter { $0.event == "step" }
        #expect(steps.map(\.step) == [2, 4, 7])
        let run = try #require(lines.first?.run)
        #expect(lines.first?.event == "start" && run.machine.matrixRate > 1e6 && run.recipe.contains("name: tiny"))
        for line in steps {
            let norms = try #require(line.gradientNorms), norm = try #require(line.gradientNorm)
            #expect(norms.count == (line.stage == "first" ? 5 : 2) && norms.values.allSatisfy { $0 > 0 })
            let sum = norms.values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(abs(sum - norm) < 1e-6 * norm)
            let filled = try #require(line.filled), utilisation = try #require(line.utilisation)
            #expect(filled > 0 && filled <= 1)
            #expect(utilisation > 0 && utilisation < 1)
            #expect(try #require(line.residentBytes) > 1 << 20)
            #expect(line.sources?.values.reduce(0) { $0 + $1.tokens } == line.tokens)
        }
        #expect(steps[0].sources?.keys.sorted() == ["synthetic count, color", "synthetic shape"])
        // A row of the second stage holds 900 tokens, and three steps have one each.
        let last = try #require(steps.last)
        #expect(last.filled == Double(try #require(last.tokens)) / 2700)
    }

    @Test("Norms by part are those of the gradients, clipped or not")
    func norms() throws {
        let tiny = try TinyModel()
        let optimizer = try tiny.optimizer(["merger", "decoder"])
        let step = TrainingStep(model: tiny.model, optimizer: optimizer)
        let report = try step([tiny.sequences(0..<2)], rate: 1e-3, clip: report(of: tiny) / 10)
        let part = { (name: String) in ParameterSelection.Part(tiny.model.part(name)).rawValue }
        let norms = try optimizer.gradientNorms(total: report.gradientNorm, part: part)
        #expect(norms.keys.sorted() == ["decoder", "merger"])
        // The same weights anew, without a step.
        let fresh = try TinyModel(), other = try fresh.optimizer(["merger", "decoder"])
        _ = try TrainingStep(model: fresh.model, optimizer: other).accumulate([fresh.sequences(0..<2)])
        var squares: [String: Double] = [:]
        for (name, values) in try other.gradients() {
            squares[part(name), default: 0] += values.reduce(0) { $0 + $1 * $1 }
        }
        for (name, norm) in norms { #expect(abs(norm - (squares[name] ?? 0).squareRoot()) < 1e-4 * norm, "\(name)") }
    }

    private func report(of tiny: TinyModel) throws -> Double {
        let fresh = try TinyModel(), optimizer = try fresh.optimizer(["merger", "decoder"])
        return try TrainingStep(model: fresh.model, optimizer: optimizer).accumulate([fresh.sequences(0..<2)])
            .gradientNorm
    }

    @Test("Operations of a step are those that the plan counts for its rows, computed again or not")
    func operations() throws {
        let folder = try TemporaryFolder(), again = try TemporaryFolder()
        func count(_ folder: TemporaryFolder, _ more: [String]) throws -> [Double?] {
            let recorder = Recorder()
            let trainer = try Trainer(tinyRecipe(folder, more), resume: false, observer: recorder)
            _ = try trainer.run()
            return recorder.steps.map(\.operations)
        }
        let plain = try count(folder, [])
        #expect(try plain == count(again, ["stages.first.memory={recompute: [tower, decoder]}"]))
        let recipe = try tinyRecipe(folder).recipe, outline = try ModelOutline(recipe.model)
        // A row by hand: two samples of the tiny model, all of it learning.
        let sequences = try TinyModel().sequences(0..<2)
        let counted = StepCost(recipe.stages[0], of: outline).operations([sequences, []])
        let expected = OperationCount(
            RowShape(sequences, outline), outline, TrainedShare(recipe.stages[0], of: outline), isCheckpointed: true)
        #expect(counted == expected.forward + expected.backward && expected.recomputed > 0)
        #expect(plain.allSatisfy { ($0 ?? 0) > counted / 100 })
    }

    @Test("Held-out samples are answered at each evaluation, and their pictures kept once")
    func answers() throws {
        let folder = try TemporaryFolder()
        let lines = try logged(tinyRecipe(folder, Self.heldOut)).filter { $0.event == "answer" }
        #expect(lines.map(\.step) == [2, 2, 2, 2, 4, 4, 4, 4])
        #expect(lines.prefix(4).map(\.question) == lines.suffix(4).map(\.question))
        #expect(lines.allSatisfy { $0.truth?.isEmpty == false && $0.files?.count == 1 })
        // TensorBoard shows a tag as one kind of thing: words and pictures must not share theirs.
        let board = folder.url.appending(path: "run/tensorboard")
        let events = try FileManager.default.contentsOfDirectory(atPath: board.path)
        let bytes = try Data(contentsOf: board.appending(path: #require(events.first)))
        for tag in ["answers/sample 1", "pictures/sample 1", "gradient_norm/tower", "speed/model_flop_utilisation"] {
            #expect(bytes.range(of: Data(tag.utf8)) != nil)
        }
        let files = Set(lines.flatMap { $0.files ?? [] })
        #expect(files.count == 4)
        for file in files {
            let data = try Data(contentsOf: folder.url.appending(path: "run/\(file)"))
            #expect(data.prefix(4) == Data([0x89, 0x50, 0x4E, 0x47]))
        }
    }

    @Test("A model that was taught to answer is heard to answer")
    func taught() throws {
        let folder = try TemporaryFolder()
        let recorder = Recorder()
        // The held-out samples are those that it learns from: it must come to say what they say.
        let file = folder.url.appending(path: "data")
        try SyntheticGenerator(
            SyntheticOptions(seed: 1, turns: .single, weights: SyntheticOptions.only(.color), sides: 112...112)
        ).write(to: file, count: 2)
        let source = "[{jsonl: \(file.path)/data.jsonl}]"
        let trainer = try Trainer(
            tinyRecipe(
                folder,
                [
                    "held_out={samples: 2, data: \(source)}", "stages.first.data=\(source)",
                    "stages.first.evaluate_every=60", "stages.first.steps=60", "stages.first.learning_rate=1e-2",
                ]), resume: false, observer: recorder)
        _ = try trainer.run()
        let shown = try #require(recorder.answers.last?.answers)
        #expect(
            shown.count == 2 && shown.allSatisfy { $0.answer == $0.truth }, "\(shown.map { ($0.answer, $0.truth) })")
    }

    @Test("What a resumed run does again is told once")
    func resumed() throws {
        let folder = try TemporaryFolder()
        let settings = ["stages.first.log_every=1", "stages.first.checkpoint_every=2"]
        _ = try logged(tinyRecipe(folder, settings), stop: 3)
        // As if the last checkpoint had never been written.
        try FileManager.default.removeItem(at: folder.url.appending(path: "run/step-000003"))
        let lines = try logged(tinyRecipe(folder, settings), resume: true)
        #expect(lines.filter { $0.event == "step" }.map(\.step) == [1, 2, 3, 4, 7])
        #expect(lines.count { $0.event == "resume" } == 1)
    }
}
