import Data
import Foundation
import Media
import Models
import NN
import TestSupport
import Testing
import Torch

@testable import Training

/// What goes wrong in long runs; the numbers are those of the list of promises that the project keeps (T1, T3, C3).
@Suite("Faults of a run")
struct FaultTests {
    /// Runs a recipe; before the steps of `poisoned`, a weight that the pass uses becomes NaN for this step.
    private func run(_ loaded: Recipe.Loaded, poisoned: Set<Int>) throws -> (Recorder, Trainer) {
        let recorder = Recorder()
        let trainer = try Trainer(loaded, resume: false, observer: recorder)
        var kept: Tensor?
        trainer.willStep = { [unowned trainer] step in
            let weight = try #require(trainer.model.store["model.norm.weight"]).tensor
            try withoutGradient {
                if let value = kept { try weight.detach().copy(from: value) }
                kept = nil
                if poisoned.contains(step) {
                    kept = try weight.detach().clone()
                    try weight.detach().fill(.nan)
                }
            }
        }
        _ = try trainer.run()
        return (recorder, trainer)
    }

    @Test("T1: steps without a finite loss change nothing, are counted, and name their samples")
    func skippedSteps() throws {
        let folder = try TemporaryFolder()
        let poisoned: Set<Int> = [1, 2, 3, 5]
        // The norm is frozen in the first stage, so that its value is not the optimiser's to restore; the last step is a good
        // one, because the next stage begins with what the last one left.
        let (recorder, trainer) = try run(
            tinyRecipe(folder, ["stages.first.steps=7", "stages.first.train=[merger]"]), poisoned: poisoned)
        for (number, step) in recorder.steps.prefix(7).enumerated() {
            #expect(step.report.isApplied == !poisoned.contains(number))
        }
        #expect(trainer.state.counters.skippedSteps == 4)
        let notes = recorder.notes.filter { $0.contains("skipped") }
        #expect(notes.count == 4 && notes.allSatisfy { $0.contains("samples synthetic:") })
        print("T1: 4 of 7 steps without a finite loss, 4 skipped")
    }

    @Test("T1: a skipped step leaves weights and moments as they were, bit for bit")
    func nothingChanges() throws {
        let one = try TemporaryFolder(), other = try TemporaryFolder()
        let overrides = ["stages.first.steps=3", "stages.first.train=[merger]"]
        // The third step is skipped in one run, and is none in the other.
        _ = try run(tinyRecipe(one, overrides + ["stages.first.checkpoint_every=1", "keep=9"]), poisoned: [2])
        func state(_ step: Int) throws -> [Data] {
            try ["model.safetensors", "training/optimizer.safetensors"].map {
                try Data(contentsOf: one.url.appending(path: "run/\(CheckpointStore.name(step))/\($0)"))
            }
        }
        #expect(try state(2)[1] == state(3)[1])
        _ = try run(tinyRecipe(other, overrides + ["stages.first.checkpoint_every=1", "keep=9"]), poisoned: [])
        let applied = try Data(
            contentsOf: other.url.appending(path: "run/step-000003/training/optimizer.safetensors"))
        #expect(try applied != state(3)[1])
    }

    @Test("T1: too many in a row end the run with their samples")
    func tooMany() throws {
        let folder = try TemporaryFolder()
        let error = try #require(throws: TrainingError.self) {
            _ = try run(
                tinyRecipe(folder, ["max_skipped_steps=2", "stages.first.train=[merger]"]), poisoned: [0, 1, 2, 3])
        }
        guard case .steps(let skipped, let step, let samples) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(skipped == 3 && step == 3 && !samples.isEmpty)
    }

    @Test("T2: a step whose loss leaps is skipped; usual steps are not, and a resumed run knows the losses")
    func spikes() throws {
        let folder = try TemporaryFolder()
        let overrides = [
            "stages.first.steps=24", "stages.first.train=[merger]", "stages.first.learning_rate=0",
            "stages.first.skip_spikes=6", "stages.first.batch={tokens: 900, max_samples: 2}",
        ]
        let recorder = Recorder()
        let trainer = try Trainer(tinyRecipe(folder, overrides), resume: false, observer: recorder)
        var kept: Tensor?
        trainer.willStep = { [unowned trainer] step in
            // Scores a hundred times as large, and mostly wrong, for one step.
            let weight = try #require(trainer.model.store["lm_head.weight"]).tensor
            try withoutGradient {
                if let value = kept { try weight.detach().copy(from: value) }
                kept = step == 20 ? try weight.detach().clone() : nil
                if step == 20 { try weight.detach().multiplyInPlace(100) }
            }
        }
        trainer.shouldStop = { _ in recorder.steps.count >= 22 }
        _ = try trainer.run()
        #expect(recorder.steps.enumerated().filter { !$0.element.report.isApplied }.map(\.offset) == [20])
        #expect(recorder.steps[20].report.loss.isFinite)
        let resumed = try Trainer(tinyRecipe(folder, overrides), resume: true, observer: Recorder())
        #expect(resumed.state.losses == trainer.state.losses && resumed.state.losses != nil)
        print("T2: 1 loss of \(recorder.steps[20].report.loss) among \(recorder.steps[19].report.loss), 1 skipped")
    }

    /// 60 good rows, and one of each kind of bad one at places of its own; the ids by reason.
    private func damagedData(_ folder: TemporaryFolder) throws -> (file: URL, bad: [String: SkippedSample.Reason]) {
        let good = folder.url.appending(path: "data")
        try SyntheticGenerator(
            SyntheticOptions(seed: 6, weights: SyntheticOptions.only(.color), sides: 112...140)
        ).write(to: good, count: 60)
        let images = good.appending(path: "images")
        let names = try FileManager.default.contentsOfDirectory(atPath: images.path).sorted()
        let whole = try Data(contentsOf: images.appending(path: names[0]))
        try whole.prefix(whole.count / 2).write(to: images.appending(path: "half.png"))
        try Data().write(to: images.appending(path: "empty.png"))
        try Data("no picture".utf8).write(to: images.appending(path: "text.png"))
        var flipped = whole
        for place in stride(from: 60, to: flipped.count, by: 11) { flipped[place] ^= 0x5A }
        try flipped.write(to: images.appending(path: "flipped.png"))
        func row(_ content: String, _ answer: String?, _ images: [String]) -> String {
            let turns = answer.map { ",{\"role\":\"assistant\",\"content\":\"\($0)\"}" } ?? ""
            let list = images.map { "\"\($0)\"" }.joined(separator: ",")
            return "{\"messages\":[{\"role\":\"user\",\"content\":\"\(content)\"}\(turns)],\"images\":[\(list)]}"
        }
        let long = String(repeating: "many words ", count: 200)
        let kinds: [(String, SkippedSample.Reason)] = [
            (row("<image>What?", "red", ["images/missing.png"]), .unreadable),
            (row("<image>What?", "red", ["images/half.png"]), .unreadable),
            (row("<image>What?", "red", ["images/empty.png"]), .unreadable),
            (row("<image>What?", "red", ["images/text.png"]), .unreadable),
            (row("<image>What?", "red", ["images/flipped.png"]), .unreadable),
            (row("<image><image>What?", "red", ["images/\(names[0])"]), .unreadable),
            (row("What?", "red", ["images/\(names[0])"]), .unreadable),
            (row("What?", nil, []), .unreadable),
            ("{\"messages\": [", .unreadable),
            (row("What? \(long)", "red", []), .tooLong),
            (row("<image>What?", "red", ["data:image/png;base64,@@@"]), .unreadable),
        ]
        let text = try String(contentsOf: good.appending(path: "data.jsonl"), encoding: .utf8)
        var lines = text.split(separator: "\n").map(String.init)
        var bad: [String: SkippedSample.Reason] = [:]
        for (number, kind) in kinds.enumerated() { lines.insert(kind.0, at: 5 * number + 2) }
        for (number, kind) in kinds.enumerated() { bad["damaged.jsonl:\(5 * number + 3)"] = kind.1 }
        let file = good.appending(path: "damaged.jsonl")
        try (lines.joined(separator: "\n") + "\n").write(to: file, atomically: true, encoding: .utf8)
        return (file, bad)
    }

    @Test("T3: every bad row is skipped, counted by its reason and listed; too many end the run")
    func badRows() throws {
        let folder = try TemporaryFolder()
        let (file, bad) = try damagedData(folder)
        let overrides = [
            "stages.first.data=[{jsonl: \(file.path)}]", "stages.first.train=[merger]", "stages.first.steps=12",
            "stages.first.batch={tokens: 900, max_samples: 6, look_ahead: 4}",
        ]
        let (recorder, trainer) = try run(tinyRecipe(folder, overrides + ["max_skipped_samples=0.5"]), poisoned: [])
        // A row comes again in every epoch.
        let unique = Dictionary(recorder.unusable.map { ($0.id, $0.reason) }) { first, _ in first }
        #expect(unique == bad)
        var counts: [String: Int] = [:]
        for sample in recorder.unusable { counts[sample.reason.rawValue, default: 0] += 1 }
        #expect(trainer.state.counters.skippedSamples == counts)
        let epochs = trainer.state.counters.seenSamples
        print("T3: \(unique.count) of \(bad.count) bad rows found among \(epochs) looked at, by reason \(counts)")

        let strict = try TemporaryFolder()
        let error = try #require(throws: TrainingError.self) {
            _ = try run(tinyRecipe(strict, overrides + ["max_skipped_samples=0.01"]), poisoned: [])
        }
        #expect("\(error)".contains("max_skipped_samples"))
    }

    @Test("C3: a flipped bit in any file of a checkpoint is found")
    func flippedBits() throws {
        let folder = try TemporaryFolder()
        _ = try run(tinyRecipe(folder, ["stages.first.steps=1", "stages.second.steps=1"]), poisoned: [])
        let store = CheckpointStore(output: folder.url.appending(path: "run"), keep: 3)
        let checkpoint = try store.newest().folder
        let names = try FileManager.default.subpathsOfDirectory(atPath: checkpoint.path).filter {
            $0.contains(".") || $0 == "LICENSE"
        }
        var found = 0
        for name in names where name != CheckpointManifest.path {
            let file = checkpoint.appending(path: name)
            let whole = try Data(contentsOf: file)
            var bytes = whole
            bytes[bytes.count * 2 / 3] ^= 1 << 3
            try bytes.write(to: file)
            #expect(CheckpointManifest.problem(of: checkpoint)?.contains(name) == true, "\(name)")
            found += 1
            try whole.write(to: file)
        }
        #expect(found >= 8 && CheckpointManifest.problem(of: checkpoint) == nil)
        print("C3: \(found) files damaged, \(found) found")
    }
}
