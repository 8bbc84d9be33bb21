import Foundation
import Goldens
import Models
import NN
import Synchronization
import TestSupport
import Testing
import Torch

@testable import Evaluation
@testable import Training

@Suite("Training steps")
struct StepTests {
    @Test(
        "One AdamW step gives the reference's parameters", arguments: ["qwen2vl_small", "qwen2vl", "qwen2_text_small"])
    func reference(_ name: String) throws {
        guard Fixtures.has(name) else { return }
        let golden = try Fixtures.golden(name)
        let folder = try ModelFolder(#require(Fixtures.url(name)))
        let (caseName, training) = try #require(
            golden.json["cases"].object?.first { $0.value["training_step"].object != nil }
                .map { ($0.key, $0.value["training_step"]) })
        let numbers = training["adamw"]
        let model = try folder.loadModel(dtype: .float32, writable: true)
        let optimizer = try Optimizer(
            model.store.parameters, dtype: .float32,
            settings: AdamWOptions(
                rate: 1, beta1: #require(numbers["betas"][0].double), beta2: #require(numbers["betas"][1].double),
                epsilon: #require(numbers["eps"].double), weightDecay: #require(numbers["weight_decay"].double)),
            decays: { _ in true })
        let conversation = try GoldenConversation(golden.json["cases"][caseName], folder: folder.url)
        let sequence = try folder.processor.process(conversation.messages, conversation.options)
        let step = TrainingStep(model: model, optimizer: optimizer)
        let report = try step([[sequence]], rate: #require(numbers["lr"].double), clip: nil)
        let loss = try #require(training["loss"].double)
        #expect(abs(report.loss - loss) <= 2e-5 * loss)
        for (name, expected) in try #require(training["params_after_one_step"].object) {
            let tensor = try #require(model.store[name]).tensor
            let norm = try tensor.norm().item(), golden = try #require(expected["l2"].double)
            #expect(abs(norm - golden) <= 2e-5 * Double(tensor.count).squareRoot() + 1e-5 * golden, "\(name)")
        }
    }

    @Test("Packed sequences give the gradients of single ones")
    func packing() throws {
        let tiny = try TinyModel()
        let sequences = try tiny.sequences(0..<4)
        let optimizer = try tiny.optimizer()
        let step = TrainingStep(model: tiny.model, optimizer: optimizer)
        let packed = try step.accumulate([sequences]), together = try optimizer.gradients()
        let single = try step.accumulate(sequences.map { [$0] }), apart = try optimizer.gradients()
        #expect(abs(packed.loss - single.loss) < 1e-5)
        for (name, gradient) in together {
            #expect(relativeDifference(gradient, try #require(apart[name])) < 1e-4, "\(name)")
        }
    }

    @Test("A change of one sequence changes nothing of its neighbours")
    func isolation() throws {
        let tiny = try TinyModel()
        let sequences = try tiny.sequences(0..<3)
        var changed = sequences
        for index in changed[0].rows.indices where changed[0].rows[index].item < 0 { changed[0].rows[index].id = 7 }
        let first = try tiny.model.hiddenStates(ModelInput(sequences)),
            second = try tiny.model.hiddenStates(ModelInput(changed))
        let start = sequences[0].rows.count, end = first.size(0)
        #expect(try first.slice(0, start..<end).isEqual(to: second.slice(0, start..<end)))
        #expect(try !first.slice(0, 0..<start).isEqual(to: second.slice(0, 0..<start)))
    }

    @Test("Splitting a batch changes nothing", arguments: [1, 2, 4])
    func accumulation(_ parts: Int) throws {
        let tiny = try TinyModel()
        let sequences = try tiny.sequences(0..<8)
        let optimizer = try tiny.optimizer()
        let step = TrainingStep(model: tiny.model, optimizer: optimizer)
        _ = try step.accumulate([sequences])
        let whole = try optimizer.gradients()
        let size = sequences.count / parts
        _ = try step.accumulate((0..<parts).map { Array(sequences[$0 * size..<($0 + 1) * size]) })
        for (name, gradient) in try optimizer.gradients() {
            #expect(relativeDifference(try #require(whole[name]), gradient) < 1e-5, "\(name)")
        }
    }

    @Test("Threads for work side by side leave others' numbers of threads alone")
    func threadCounts() async {
        await #expect(processExitsWith: .success) {
            func seen() -> Int {
                let done = DispatchSemaphore(value: 0), count = Mutex(0)
                Thread {
                    count.withLock { $0 = Engine.threads }
                    done.signal()
                }.start()
                done.wait()
                return count.withLock { $0 }
            }
            Engine.threads = 3
            let threads = WorkerThreads(2)
            let inside = try threads.map(2) { _ in Engine.threads }
            let courier = Courier()
            _ = try courier.send { [try Tensor([Float(Engine.threads)])] }.wait()
            #expect(inside == [1, 1] && Engine.threads == 3 && seen() == 3, "\(inside) \(Engine.threads) \(seen())")
            threads.stop()
            courier.stop()
        }
    }

    @Test("Threads change no bit")
    func threads() throws {
        func gradients(_ threads: Int) throws -> [String: [Double]] {
            let tiny = try TinyModel()
            let optimizer = try tiny.optimizer()
            let former = Engine.threads
            Engine.threads = 1
            defer { Engine.threads = former }
            let step = TrainingStep(model: tiny.model, optimizer: optimizer, threads: threads)
            _ = try step.accumulate(tiny.sequences(0..<6).map { [$0] })
            return try optimizer.gradients()
        }
        let one = try gradients(1)
        #expect(try gradients(2) == one)
        #expect(try gradients(3) == one)
    }

    @Test("What is frozen stays as it is, bit for bit")
    func frozen() throws {
        let tiny = try TinyModel()
        let before = try tiny.values()
        let step = TrainingStep(model: tiny.model, optimizer: try tiny.optimizer(["merger"], decay: 0.1))
        for index in 0..<2 { _ = try step([tiny.sequences(index..<index + 1)], rate: 1e-2, clip: 1) }
        for (name, values) in try tiny.values() {
            #expect((values == before[name]) == (tiny.model.part(name) != .connector), "\(name)")
        }
    }

    @Test("A loss that is not finite leaves weights and moments alone")
    func notFinite() throws {
        let tiny = try TinyModel()
        let optimizer = try tiny.optimizer()
        let step = TrainingStep(model: tiny.model, optimizer: optimizer)
        _ = try step([tiny.sequences(0..<1)], rate: 1e-3, clip: 1)
        let norm = try #require(tiny.model.store["model.norm.weight"]).tensor
        let saved = try norm.clone()
        try withoutGradient { try norm.fill(.infinity) }
        func state() throws -> [[Double]] {
            try optimizer.groups.map { group in
                try #require(group.first?.values).doubles() + #require(group.second?.values).doubles()
            }
        }
        let values = try tiny.values(), moments = try state()
        let report = try step([tiny.sequences(1..<2)], rate: 1e-3, clip: 1)
        #expect(!report.isApplied)
        #expect(try tiny.values() == values)
        #expect(try state() == moments)
        try withoutGradient { try norm.copy(from: saved) }
        #expect(try step([tiny.sequences(1..<2)], rate: 1e-3, clip: 1).isApplied)
    }

    @Test("Clipping bounds the gradient's norm")
    func clipping() throws {
        let tiny = try TinyModel()
        let optimizer = try tiny.optimizer()
        let report = try TrainingStep(model: tiny.model, optimizer: optimizer)(
            [tiny.sequences(0..<1)], rate: 0, clip: 0.01)
        #expect(report.gradientNorm > 0.01)
        #expect(abs(try optimizer.gradientNorm() - 0.01) < 1e-6)
    }

    @Test("A few samples are learned by heart", arguments: [DType.float32, .bfloat16])
    func overfits(_ dtype: DType) throws {
        let tiny = try TinyModel(dtype: dtype)
        let sequences = try tiny.sequences(0..<2)
        let step = TrainingStep(model: tiny.model, optimizer: try tiny.optimizer())
        var loss = Double.infinity
        for _ in 0..<150 where loss > 0.1 { loss = try step([sequences], rate: 3e-3, clip: 1).loss }
        #expect(loss <= 0.1)
    }
}
