import Data
import Foundation
import Models
import NN
import Safetensors
import Synchronization
import Terminal
import TestSupport
import Testing
import Torch

@testable import Training

/// Disks that are full or hang, and rows that do not fit into memory (T5, T7, T8).
@Suite("Disks and memory in a run")
struct HangAndMemoryTests {
    // MARK: - T5

    @Test("T5: a disk that is full for logs ends no run; each log says so once")
    func fullDisk() throws {
        let folder = try TemporaryFolder()
        let pipe = Pipe()
        let output = TerminalOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor, terminal: false)
        let loaded = try tinyRecipe(folder, RunLogTests.heldOut + ["stages.second.log_every=1"])
        let log = try RunLog(folder: URL(filePath: loaded.recipe.output), output: output)
        let trainer = try Trainer(loaded, resume: false, observer: log)
        let refused = Mutex<[String: Int]>([:])
        let outcome = try FileFaults.$inject.withValue({ operation, path in
            let kind =
                path.hasSuffix("log.jsonl")
                ? "log.jsonl" : path.contains("tfevents") ? "events" : path.contains("/answers/") ? "pictures" : nil
            guard let kind, operation == .write || operation == .create else { return nil }
            refused.withLock { $0[kind, default: 0] += 1 }
            return ENOSPC
        }) { try trainer.run() }
        log.finish()
        try pipe.fileHandleForWriting.close()
        let said = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        guard case .finished = outcome else {
            Issue.record("\(outcome)")
            return
        }
        let counts = refused.withLock { $0 }
        #expect(counts.keys.sorted() == ["events", "log.jsonl", "pictures"] && counts.values.allSatisfy { $0 >= 8 })
        for place in ["log.jsonl: cannot write", "tfevents", "a picture of a sample answer"] {
            let lines = said.split(separator: "\n").filter { $0.contains("warning") && $0.contains(place) }
            #expect(lines.count == 1, "\(place): \(said)")
        }
        print("T5: writes refused \(counts), run finished, 3 warnings")
    }

    // MARK: - T7

    /// A source of which one sample comes too late, as from a disk that hangs.
    private struct HangingSource: TrainingDataSource {
        let whole: SyntheticSource
        let hanging: Int
        let gate: DispatchSemaphore

        var name: String { "clips" }
        var count: Int? { nil }
        func files(of index: Int) -> [String] { ["/mnt/dead/\(index).mp4"] }
        func sample(at index: Int) throws -> TrainingSample {
            if index == hanging { gate.wait() }
            return try whole.sample(at: index)
        }
    }

    @Test("T7: a sample that hangs is left out by its file's name, whatever the number of threads", arguments: [1, 2])
    func hanging(_ workers: Int) throws {
        let processor = try ModelFolder(TinyModel.folder).processor
        let gate = DispatchSemaphore(value: 0)
        let source = HangingSource(
            whole: try SyntheticSource(SyntheticOptions(seed: 5, sides: 112...140)), hanging: 3, gate: gate)
        let mixture = SampleMixture([(source, 1)], seed: 1)
        let queue = SampleQueue(
            first: [], next: 0, workers: workers, capacity: 4, watch: .init(patience: .seconds(1), over: mixture)
        ) { number in PreparedSample(number, mixture.place(number), processor) }
        let clock = ContinuousClock.now
        let samples = (0..<8).map { _ in queue.pop() }
        #expect(samples.map(\.number) == Array(0..<8))
        for sample in samples where sample.number != 3 { #expect(sample.sequence != nil) }
        guard case .failure(let skipped) = samples[3].size else {
            Issue.record("the sample was waited for")
            return
        }
        #expect(skipped.reason == .timedOut && skipped.id == "clips:3")
        #expect(skipped.message.contains("/mnt/dead/3.mp4") && skipped.message.contains("within 1.0 s"))
        let seconds = (ContinuousClock.now - clock).seconds
        #expect(seconds > 0.9 && seconds < 20)
        // What hangs is not waited for at the end, and what comes after all is nobody's.
        queue.stop()
        gate.signal()
        print("T7: \(workers) threads, 1 of 8 samples hangs: left out after \(seconds) s, 7 others in order")
    }

    // MARK: - T8

    private struct Run {
        var recorder: Recorder
        var trainer: Trainer
    }

    /// A run in which rows of more than so many sequences do not fit; nil lets everything fit.
    private func run(_ folder: TemporaryFolder, fitting limit: Int?, _ more: [String] = []) throws -> Run {
        let recorder = Recorder()
        let trainer = try Trainer(
            tinyRecipe(folder, ["precision=f32", "stages.first.clip=1000"] + more), resume: false, observer: recorder)
        try TrainingStep.$beforePass.withValue({ sequences in
            guard let limit, sequences.count > limit else { return }
            throw TorchError(kind: .outOfMemory, operation: "matmul", message: "no memory for a row")
        }) { _ = try trainer.run() }
        return Run(recorder: recorder, trainer: trainer)
    }

    @Test("T8: the engine's own report of memory that is not there is told from other errors")
    func realError() throws {
        let error = try #require(throws: TorchError.self) { _ = try Tensor.zeros([1 << 46]) }
        #expect(error.kind == .outOfMemory, "\(error)")
        let after = try Tensor.ones([3]).sum().item()
        #expect(after == 3)
    }

    @Test("T8: a row that does not fit is computed in halves, with the same gradients")
    func halved() throws {
        let one = try TemporaryFolder(), other = try TemporaryFolder()
        let whole = try run(one, fitting: nil), parts = try run(other, fitting: 1)
        let rows = parts.trainer.state.counters.halvedRows ?? 0
        #expect(rows >= 7 && whole.trainer.state.counters.halvedRows == nil)
        #expect(!parts.recorder.steps.map(\.report.isApplied).contains(false))
        for (a, b) in zip(whole.recorder.steps, parts.recorder.steps) {
            #expect(abs(a.report.loss - b.report.loss) < 2e-4 * a.report.loss)
            #expect(abs(a.report.gradientNorm - b.report.gradientNorm) < 2e-3 * a.report.gradientNorm)
        }
        #expect(parts.recorder.notes.contains { $0.contains("did not fit into memory and were halved") })
        print("T8: \(rows) halvings in 7 steps, the same losses")
    }

    @Test("T8: memory that ends within a backward pass takes back what was added, and the step is computed again")
    func againAfterABackwardPass() throws {
        func gradients(failing: Bool, halving: Bool = false) throws -> (report: StepReport, values: [[Double]]) {
            let tiny = try TinyModel()
            let optimizer = try Optimizer(
                tiny.model.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 1e-3))
            let step = TrainingStep(model: tiny.model, optimizer: optimizer)
            let sequences = try tiny.sequences(0..<4), arrived = Mutex(0), passes = Mutex(0)
            let tensors = tiny.model.store.parameters.map(\.tensor)
            let report = try GradientStream.$beforeTaking.withValue({
                guard failing,
                    arrived.withLock({
                        $0 += 1; return $0
                    }) == 30
                else { return }
                throw TorchError(kind: .outOfMemory, operation: "matmul", message: "no memory for a gradient")
            }) {
                try TrainingStep.$beforePass.withValue({ sequences in
                    // Of the first try the first row fails on its way back; of the second no whole row fits.
                    let number = passes.withLock {
                        $0 += 1; return $0
                    }
                    guard halving, number > 1, sequences.count > 1 else { return }
                    throw TorchError(kind: .outOfMemory, operation: "matmul", message: "no memory for a row")
                }) { try step.accumulate([Array(sequences[..<2]), Array(sequences[2...])]) }
            }
            // The model has its own tensors back.
            #expect(zip(tensors, tiny.model.store.parameters).allSatisfy { $0 === $1.tensor })
            return (report, try optimizer.groups.map { try $0.gradient.doubles() })
        }
        let plain = try gradients(failing: false), again = try gradients(failing: true)
        #expect(plain.values == again.values && plain.report.loss == again.report.loss)
        #expect(again.report.halvedRows == 0)
        let halved = try gradients(failing: true, halving: true)
        #expect(halved.report.halvedRows == 2)
        let scale = plain.values.joined().map(abs).max() ?? 0
        for (a, b) in zip(plain.values, halved.values) { #expect(largestDifference(a, b) < 1e-5 * scale) }
    }

    @Test("T8: where it is to be skipped, or nothing is left to halve, the step is skipped and the next is normal")
    func skipped() throws {
        let one = try TemporaryFolder(), other = try TemporaryFolder(), last = try TemporaryFolder()
        // The first stage skips rows of three, the second halves them.
        let skipping = try run(one, fitting: 2, ["stages.first.memory={when_full: skip}", "max_skipped_steps=9"])
        let applied = skipping.recorder.steps.map(\.report.isApplied)
        #expect(applied.prefix(4).contains(false) && !applied.suffix(3).contains(false), "\(applied)")
        let lost = applied.filter { !$0 }
        #expect(skipping.trainer.state.counters.skippedSteps == lost.count)
        #expect(skipping.recorder.notes.contains { $0.contains("skipped: out of memory in matmul") })
        // Not even one fits: skipped, and too many in a row end the run.
        let error = try #require(throws: TrainingError.self) {
            _ = try run(other, fitting: 0, ["max_skipped_steps=2"])
        }
        guard case .steps(let skipped, _, let samples) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(skipped == 3 && !samples.isEmpty)
        let stopped = try #require(throws: TorchError.self) {
            _ = try run(last, fitting: 1, ["stages.first.memory={when_full: stop}"])
        }
        #expect(stopped.kind == .outOfMemory)
    }
}
