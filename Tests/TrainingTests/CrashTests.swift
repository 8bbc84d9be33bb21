import Data
import Foundation
import Media
import Models
import NN
import Safetensors
import Synchronization
import TestSupport
import Testing
import Torch

@testable import Training

/// Checkpoints that outlive what happens to processes and disks; the numbers are those of the list of promises that the
/// project keeps (C1, C2, C5, C6, C7).
@Suite("Crashes and checkpoints")
struct CrashTests {
    // MARK: - C1

    private struct Crash: Error {}

    @Test(
        "C1: 200 steps with a crash or a stop at 17 of them end in the same bits as without", .timeLimit(.minutes(10)))
    func exactness() throws {
        let overrides = [
            "stages.first.steps=150", "stages.second.steps=50", "workers=2", "keep=2",
            "stages.first.batch={tokens: 400, max_samples: 1, accumulation: 1, look_ahead: 5}",
            "stages.second.batch={tokens: 400, max_samples: 1, accumulation: 1, look_ahead: 3}",
            "stages.first.checkpoint_every=7", "stages.second.checkpoint_every=7",
        ]
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let straight = Recorder()
        _ = try Trainer(tinyRecipe(whole, overrides), resume: false, observer: straight).run()
        #expect(straight.steps.count == 200)
        var losses: [Int: Double] = [:], kinds: [String: Int] = [:]
        var generator = SeededGenerator(seed: 4)
        let stops = Set((0..<17).map { 11 * $0 + 1 + generator.integer(0...10) }).sorted()
        #expect(stops.count == 17)
        for (number, stop) in (stops + [Int.max]).enumerated() {
            let recorder = Recorder()
            let trainer = try Trainer(
                tinyRecipe(parts, overrides), resume: number > 0 && store(parts).folders().first != nil,
                observer: recorder)
            let kind = number % 3
            let calls = Mutex(0)
            switch kind {
            case _ where stop == .max: break
            // Asked to, as SIGTERM does.
            case 0: trainer.shouldStop = { $0 >= stop }
            // In the middle of a step: nothing of it is on the disk, as after SIGKILL.
            case 1: trainer.willStep = { if $0 >= stop { throw Crash() } }
            // In the middle of a save, which is asked for at this step.
            default: trainer.shouldStop = { $0 >= stop }
            }
            do {
                try FileFaults.$inject.withValue({ _, _ in
                    guard kind == 2, stop != .max else { return nil }
                    return calls.withLock { count in
                        count += 1
                        return count % 40 == 0 ? EIO : nil
                    }
                }) { _ = try trainer.run() }
                kinds[stop == .max ? "to the end" : "stopped", default: 0] += 1
            } catch is Crash { kinds["crashed in a step", default: 0] += 1 } catch is FileSystemError {
                kinds["crashed in a save", default: 0] += 1
            }
            // What is done again must come to the same.
            for step in recorder.steps {
                if let before = losses[step.step] { #expect(before == step.report.loss) }
                losses[step.step] = step.report.loss
            }
        }
        for step in straight.steps { #expect(losses[step.step] == step.report.loss, "step \(step.step)") }
        for file in ["model.safetensors", "training/optimizer.safetensors"] {
            let one = try Data(contentsOf: whole.url.appending(path: "run/step-000200/\(file)"))
            #expect(try one == Data(contentsOf: parts.url.appending(path: "run/step-000200/\(file)")))
        }
        #expect(kinds["crashed in a step"] == 6 && (kinds["crashed in a save"] ?? 0) >= 4)
        print("C1: 200 steps, ends at \(stops): \(kinds); \(losses.count) losses and the weights the same bits")
    }

    private func store(_ folder: TemporaryFolder, keep: Int = 3) -> CheckpointStore {
        CheckpointStore(output: folder.url.appending(path: "run"), keep: keep)
    }

    // MARK: - C2

    /// Saves small checkpoints one after another, as a run does.
    private final class Saver {
        let store: CheckpointStore
        private let files = ModelFiles(folder: TinyModel.folder)
        private let weights: [String: Tensor]
        var state = TrainingState()

        init(_ store: CheckpointStore) throws {
            self.store = store
            weights = ["w": try Tensor.ones([300])]
        }

        func save(_ step: Int, best loss: Double? = nil) throws {
            state.step = step
            if let loss { state.noteBest(EvaluationRecord(step: step, loss: loss, accuracy: 0, samples: 1)) }
            let value = try Tensor.ones([300]) * Double(step)
            try store.save(
                files: files, optimizer: [.init(name: "moments", tensor: value)], masters: weights, state: state,
                dtype: .float32
            ) { folder in
                try SafetensorsWriter.write(
                    path: folder.appending(path: "model.safetensors").path, tensors: [.init(name: "w", tensor: value)])
            }
        }
    }

    /// A folder in memory where there is one: thousands of files are synced.
    private func quickFolder() throws -> URL {
        let memory = URL(filePath: "/dev/shm")
        guard FileManager.default.isWritableFile(atPath: memory.path) else { return try TemporaryFolder().url }
        let folder = memory.appending(path: "omma-crash-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    @Test(
        "C2: a disk that fills up or fails at any of the first 200 calls leaves a whole checkpoint, one save old at most"
    )
    func diskFaults() throws {
        let base = try quickFolder()
        defer { try? FileManager.default.removeItem(at: base) }
        var faults = 0, failedSaves = 0, passedOver = 0
        for (code, isLasting) in [(ENOSPC, true), (EIO, false)] {
            for call in 0..<200 {
                let folder = base.appending(path: "\(code)-\(call)")
                let saver = try Saver(CheckpointStore(output: folder, keep: 2))
                try saver.save(1)
                var done = 1
                let calls = Mutex(0), hits = Mutex(0)
                FileFaults.$inject.withValue({ _, _ in
                    let number = calls.withLock { count in
                        defer { count += 1 }
                        return count
                    }
                    guard isLasting ? number >= call : number == call else { return nil }
                    hits.withLock { $0 += 1 }
                    return code
                }) {
                    for step in 2...5 {
                        do {
                            try saver.save(step)
                            done = step
                        } catch { failedSaves += 1 }
                        if hits.withLock({ $0 }) > 0 { break }
                    }
                }
                if hits.withLock({ $0 }) > 0 { faults += 1 }
                let found = try saver.store.newest()
                #expect(found.state.step >= done, "call \(call)")
                #expect(found.damaged.isEmpty && CheckpointManifest.problem(of: found.folder) == nil)
                passedOver += saver.store.removePartial().count
                // The disk is well again.
                try saver.save(9)
                #expect(try saver.store.newest().state.step == 9)
                try FileManager.default.removeItem(at: folder)
            }
        }
        #expect(faults == 400 && failedSaves > 300)
        print(
            "C2: \(faults) faults (200 ENOSPC that last, 200 EIO), \(failedSaves) saves failed, 0 without a checkpoint")
    }

    @Test("C2: a process that is killed at any of the first 200 calls leaves a whole checkpoint")
    func killed() throws {
        let base = try quickFolder()
        defer { try? FileManager.default.removeItem(at: base) }
        let folder = base.appending(path: "run"), snapshots = base.appending(path: "snapshots")
        try FileManager.default.createDirectory(at: snapshots, withIntermediateDirectories: true)
        let saver = try Saver(CheckpointStore(output: folder, keep: 2))
        try saver.save(1)
        // What is on the disk before a call is what a process that is killed there leaves.
        let calls = Mutex(0), done = Mutex(1), expected = Mutex<[Int]>([])
        try FileFaults.$inject.withValue({ _, _ in
            let number = calls.withLock { count in
                defer { count += 1 }
                return count
            }
            guard number < 200 else { return nil }
            try? FileManager.default.copyItem(at: folder, to: snapshots.appending(path: "\(number)"))
            expected.withLock { $0.append(done.withLock { $0 }) }
            return nil
        }) {
            for step in 2...6 {
                try saver.save(step)
                done.withLock { $0 = step }
            }
        }
        let steps = expected.withLock { $0 }
        #expect(steps.count == 200)
        var partial = 0
        for (number, step) in steps.enumerated() {
            let store = CheckpointStore(output: snapshots.appending(path: "\(number)"), keep: 2)
            let found = try store.newest()
            #expect(found.state.step >= step && found.state.step <= step + 1 && found.damaged.isEmpty, "call \(number)")
            partial += store.removePartial().count
            let latest = try String(contentsOf: store.output.appending(path: "latest"), encoding: .utf8)
            let named = store.output.appending(path: latest.trimmingCharacters(in: .newlines))
            #expect(CheckpointManifest.problem(of: named) == nil, "call \(number)")
        }
        print(
            "C2: the disk as a kill before each of 200 calls leaves it: 200 whole checkpoints found, \(partial) unfinished "
                + "ones removed")
    }

    // MARK: - C5

    @Test("C5: so many are kept, and the best; the one that is being written is in nobody's way")
    func rotation() throws {
        let folder = try TemporaryFolder()
        let store = store(folder, keep: 2), saver = try Saver(store)
        let losses: [Double?] = [3, 2.5, nil, 2.7, 2.9, nil, 2.4, 2.6, .nan, 2.8]
        for (index, loss) in losses.enumerated() {
            try saver.save(index + 1, best: loss)
            let best = index >= 6 ? 7 : index >= 1 ? 2 : 1
            let expected = Set([best, index + 1, index].filter { $0 > 0 })
            #expect(Set(store.folders().map(\.lastPathComponent)) == Set(expected.map(CheckpointStore.name)))
            let named = try String(contentsOf: store.output.appending(path: "best"), encoding: .utf8)
            #expect(named == CheckpointStore.name(best) + "\n")
        }
        // Another's half-written folder is no checkpoint, and is not touched by a rotation.
        let other = store.output.appending(path: ".step-000099.1.partial")
        try FileManager.default.createDirectory(at: other, withIntermediateDirectories: true)
        try saver.save(11)
        #expect(FileManager.default.fileExists(atPath: other.path))
        // One that cannot be removed does not end the run.
        print("C5: 11 saves, 2 kept beside the best, each time")
    }

    @Test("C5: a run keeps the checkpoint with the lowest held-out loss, also when it goes on")
    func bestOfRun() throws {
        let folder = try TemporaryFolder()
        let overrides =
            RunLogTests.heldOut + [
                "keep=1", "stages.first.evaluate_every=1", "stages.first.checkpoint_every=1",
                "stages.second.evaluate_every=1", "stages.second.checkpoint_every=1",
                // It gets worse soon.
                "stages.first.learning_rate=0.3", "stages.first.clip=1000",
            ]
        let first = Recorder()
        let trainer = try Trainer(tinyRecipe(folder, overrides), resume: false, observer: first)
        trainer.shouldStop = { $0 >= 4 }
        _ = try trainer.run()
        let second = Recorder()
        _ = try Trainer(tinyRecipe(folder, overrides), resume: true, observer: second).run()
        let all = first.evaluations + second.evaluations
        #expect(all.count == 7)
        let best = try #require(all.min { $0.loss < $1.loss })
        let names = Set(store(folder).folders().map(\.lastPathComponent))
        #expect(names == [CheckpointStore.name(best.step), CheckpointStore.name(7)])
    }

    // MARK: - C6

    @Test("C6: a changed recipe, tokenizer, model or data is refused with what differs, unless it is allowed")
    func drift() throws {
        let folder = try TemporaryFolder()
        let model = folder.url.appending(path: "model")
        try FileManager.default.createDirectory(at: model, withIntermediateDirectories: true)
        for name in ModelFiles.names {
            let file = TinyModel.folder.appending(path: name)
            if FileManager.default.fileExists(atPath: file.path) {
                try Data(contentsOf: file).write(to: model.appending(path: name))
            }
        }
        let data = folder.url.appending(path: "data")
        try SyntheticGenerator(SyntheticOptions(seed: 6, sides: 112...140)).write(to: data, count: 8)
        let rows = data.appending(path: "data.jsonl")
        let source = "stages.first.data=[{jsonl: \(rows.path)}]", start = "model.random=\(model.path)"
        func resume(_ more: [String] = [], allow: Set<String> = []) throws -> Recorder {
            let recorder = Recorder()
            var loaded = try tinyRecipe(folder, [start, source] + more)
            loaded.allowedChanges = allow
            let trainer = try Trainer(loaded, resume: true, observer: recorder)
            trainer.shouldStop = { _ in true }
            _ = try trainer.run()
            return recorder
        }
        func refused(_ field: String, _ more: [String] = []) throws {
            let error = try #require(throws: CheckpointError.self) { try resume(more) }
            #expect("\(error)".contains(field) && "\(error)".contains("--allow-change"), "\(error)")
            #expect(throws: CheckpointError.self) { try resume(more, allow: ["seed", "stages.second"]) }
        }
        let trainer = try Trainer(tinyRecipe(folder, [start, source]), resume: false, observer: Recorder())
        trainer.shouldStop = { $0 >= 2 }
        _ = try trainer.run()
        _ = try resume()
        var found = 0
        // The recipe.
        let changes: [(String, String, String)] = [
            ("stages.first.learning_rate", "stages.first.learning_rate=0.5", "stages.first"),
            ("stages.second.data.0.synthetic.seed", "stages.second.data.0.synthetic.seed=9", "stages"),
            ("model.max_pixels", "model.max_pixels=9999", "model"), ("seed", "seed=8", "seed"),
        ]
        for (field, change, allowed) in changes {
            let error = try #require(throws: CheckpointError.self) { try resume([change]) }
            #expect("\(error)".contains("+ \(field): "), "\(error)")
            let going = try Trainer(
                {
                    var loaded = try tinyRecipe(folder, [start, source, change])
                    loaded.allowedChanges = [allowed]
                    return loaded
                }(), resume: true, observer: Recorder())
            #expect(going.step == 2)
            found += 1
        }
        // Files that it names, each put back.
        for (file, field) in [
            (model.appending(path: "tokenizer.json"), "model.tokenizer.json"),
            (model.appending(path: "config.json"), "model.config.json"), (rows, "stages.first.data.0.file"),
        ] {
            let whole = try Data(contentsOf: file)
            try (whole + Data(" \n".utf8)).write(to: file)
            try refused(field)
            let recorder = try resume(allow: [field.hasPrefix("model") ? "model" : "stages.first.data"])
            #expect(recorder.notes.contains { $0.contains("changed, as allowed: + \(field)") })
            // From now on that is what the run reads.
            _ = try resume()
            try whole.write(to: file)
            _ = try resume(allow: [field])
            found += 1
        }
        // What does not touch learning may differ.
        _ = try resume(["keep=7", "workers=2", "sample_timeout=5"])
        print("C6: \(found) changes, \(found) refused with their fields, \(found) allowed by name")
    }

    // MARK: - C7

    /// A small checkpoint of each format that there was, with the losses of the steps behind it.
    static let formats = Fixtures.checkout.appending(path: "Tests/Checkpoints")

    private func oldRun(_ folder: TemporaryFolder) throws -> Recipe.Loaded {
        let text = """
            name: old
            model:
              random: qwen2vl_small
              config: {num_hidden_layers: 1, vision_config: {depth: 1}}
            seed: 3
            precision: bf16
            output: runs/old
            stages:
              - name: only
                train: [merger]
                steps: 4
                learning_rate: 1.0e-3
                batch: {tokens: 400, max_samples: 1, look_ahead: 3}
                checkpoint_every: 2
                data:
                  - synthetic: {seed: 1, sides: [112, 140], difficulty: 0, tasks: {color: 1}}
            """
        var loaded = try Recipe.parse(text, file: "old.yaml", folder: Fixtures.goldens)
        loaded.recipe.output = folder.path("run")
        return loaded
    }

    @Test("C7: checkpoints of earlier versions are gone on from")
    func oldFormats() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.formats.path).filter {
            $0.hasPrefix("version-")
        }.sorted()
        #expect(!names.isEmpty)
        for name in names {
            let folder = try TemporaryFolder(), old = Self.formats.appending(path: name)
            try FileManager.default.createDirectory(
                at: folder.url.appending(path: "run"), withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                at: old.appending(path: "step-000002"), to: folder.url.appending(path: "run/step-000002"))
            let recorder = Recorder()
            let trainer = try Trainer(oldRun(folder), resume: true, observer: recorder)
            #expect(trainer.step == 2 && trainer.state.counters.samples == 2)
            _ = try trainer.run()
            let expected = try JSONDecoder().decode(
                [Double].self, from: Data(contentsOf: old.appending(path: "losses.json")))
            #expect(recorder.steps.map(\.step) == [3, 4])
            for (loss, there) in zip(recorder.steps.map(\.report.loss), expected) {
                // Another processor may round otherwise.
                #expect(abs(loss - there) < 0.02, "\(loss), \(there)")
            }
        }
        print("C7: \(names.count) formats, \(names.count) gone on from")
    }

    /// Makes the checkpoint of today's format; see Tests/Checkpoints/README.md.
    @Test(
        "C7: a checkpoint of today's format is made",
        .enabled(if: ProcessInfo.processInfo.environment["OMMA_MAKE_CHECKPOINT"] != nil))
    func makeFormat() throws {
        let name = try #require(ProcessInfo.processInfo.environment["OMMA_MAKE_CHECKPOINT"])
        let folder = try TemporaryFolder(), target = Self.formats.appending(path: name)
        let recorder = Recorder()
        _ = try Trainer(oldRun(folder), resume: false, observer: recorder).run()
        try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            at: folder.url.appending(path: "run/step-000002"), to: target.appending(path: "step-000002"))
        try JSONEncoder().encode(recorder.steps.suffix(2).map(\.report.loss)).write(
            to: target.appending(path: "losses.json"))
    }
}
