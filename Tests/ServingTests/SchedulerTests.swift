import Foundation
import Inference
import ModelTestSupport
import Models
import Serving
import Synchronization
import Testing
import Torch

/// Answers do not depend on company, cancellation or faults of others.
@Suite(.serialized) struct SchedulerTests {
    let tiny: TinyQwen2VL

    init() throws { tiny = try TinyQwen2VL() }

    private func requests(_ sampling: SamplingOptions = .greedy) throws -> [EngineRequest] {
        try tiny.mixedPrompts().enumerated().map { index, prompt in
            var sampling = sampling
            sampling.seed += UInt64(index)
            return EngineRequest(prompt: prompt, maxTokens: 5 + 3 * index, sampling: sampling)
        }
    }

    @Test(arguments: [SamplingOptions.greedy, SamplingOptions(temperature: 1, topP: 0.9, seed: 3)])
    func anAnswerDoesNotDependOnItsCompany(_ sampling: SamplingOptions) async throws {
        let engine = try await BatchEngine.tiny()
        let requests = try requests(sampling)
        var alone: [Heard] = []
        for request in requests { alone.append(try await engine.answer(request)) }
        #expect(alone.enumerated().allSatisfy { $0.element.ids.count == 5 + 3 * $0.offset })
        let rounds = 3
        let together = try await withThrowingTaskGroup(of: (Int, Heard).self) { group in
            for index in 0..<rounds * requests.count {
                group.addTask { (index % requests.count, try await engine.answer(requests[index % requests.count])) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(together.count == rounds * requests.count)
        for (index, heard) in together { #expect(heard == alone[index], "request \(index)") }
        // They did keep each other company.
        let statistics = engine.statistics
        #expect(statistics.decodeSteps * 3 < statistics.completionTokens * 2, "\(statistics)")
        #expect(statistics.finished == (rounds + 1) * requests.count && statistics.running == 0)
    }

    @Test func severalAnswersToAPromptReadItOnce() async throws {
        let isHeld = Mutex(false)
        let engine = try await BatchEngine.tiny { _ in while isHeld.withLock({ $0 }) { usleep(200) } }
        for prompt in try tiny.mixedPrompts() {
            var alone: [Heard] = []
            let requests = (0..<4).map { index in
                EngineRequest(
                    prompt: prompt, maxTokens: 6, sampling: SamplingOptions(temperature: 1.2, seed: UInt64(index)))
            }
            for request in requests { alone.append(try await engine.answer(request)) }
            let before = engine.statistics.promptTokens
            let together = try await withThrowingTaskGroup(of: (Int, Heard).self) { group in
                // All but the first are in the mailbox before the model has done anything.
                isHeld.withLock { $0 = true }
                let streams = requests.map { request in
                    var request = request
                    request.promptGroup = 7
                    return engine.submit(request)
                }
                isHeld.withLock { $0 = false }
                for (index, stream) in streams.enumerated() { group.addTask { (index, try await Heard(stream)) } }
                return try await group.reduce(into: [Int: Heard]()) { $0[$1.0] = $1.1 }
            }
            for (index, heard) in together { #expect(heard == alone[index]) }
            let read = engine.statistics.promptTokens - before
            // The first may have read all of it before the others came in.
            #expect(together.count == 4 && read <= 2 * prompt.rows.count, "\(read) of \(prompt.rows.count)")
        }
    }

    @Test func theAnswerIsTheGenerators() async throws {
        let engine = try await BatchEngine.tiny()
        let generator = Generator(tiny.model)
        for request in try requests() {
            let expected = try generator.generate(request.prompt, GenerationOptions(maxTokens: request.maxTokens))
            let heard = try await engine.answer(request)
            #expect(heard.ids == expected.tokens)
            #expect(heard.summary?.finishReason == .length)
            #expect(heard.summary?.promptTokens == request.prompt.rows.count)
            #expect(heard.summary?.imageTokens == request.prompt.imageTokenCount)
            #expect(heard.text == heard.summary?.text)
        }
    }

    @Test func stopTokensAndStopTextsEndAnAnswer() async throws {
        let engine = try await BatchEngine.tiny()
        var request = EngineRequest(prompt: try tiny.prompt("Hi", pictures: [(40, 40)]), maxTokens: 24)
        let free = try await engine.answer(request)
        let stop = free.ids[7]
        request.stopTokens = [stop]
        let ended = try await engine.answer(request)
        #expect(ended.ids == Array(free.ids.prefix(while: { $0 != stop })) && ended.summary?.finishReason == .stop)
        request.stopTokens = []
        let characters = Array(free.text)
        try #require(characters.count > 8)
        let text = String(characters[3..<6])
        request.stopTexts = ["never, ever", text]
        let cut = try await engine.answer(request)
        let expected = try #require(free.text.firstRange(of: text)).lowerBound
        #expect(cut.text == String(free.text[..<expected]) && cut.summary?.finishReason == .stop)
        #expect(cut.ids.count < free.ids.count)
    }

    @Test func biasAndLogProbabilities() async throws {
        let engine = try await BatchEngine.tiny()
        var request = EngineRequest(prompt: try tiny.prompt("Hi"), maxTokens: 4, alternatives: 3)
        var scores: [AnswerToken] = []
        for try await events in engine.submit(request) {
            for case .token(let token) in events { scores.append(token) }
        }
        #expect(scores.count == 4)
        for token in scores {
            #expect(token.alternatives.count == 3 && token.alternatives.first == token.score)
            #expect(token.alternatives.map(\.logProbability).sorted(by: >) == token.alternatives.map(\.logProbability))
            #expect(token.alternatives.allSatisfy { $0.logProbability < 0 })
        }
        request.logitBias = [scores[0].id: -100, 77: 100]
        #expect(try await engine.answer(request).ids == [77, 77, 77, 77])
    }

    @Test func aDroppedStreamFreesItsPlace() async throws {
        let engine = try await BatchEngine.tiny(BatchOptions(maxBatch: 2, prefillChunk: 16))
        let long = EngineRequest(prompt: try tiny.prompt("Hi"), maxTokens: 10_000)
        // Some are cancelled while they run, some while they wait.
        let tasks = (0..<10).map { _ in Task { try await engine.answer(long) } }
        while engine.statistics.completionTokens == 0, engine.statistics.decodeSteps < 3 { await Task.yield() }
        for task in tasks { task.cancel() }
        for task in tasks { _ = try? await task.value }
        let short = EngineRequest(prompt: try tiny.prompt("Hi"), maxTokens: 3)
        #expect(try await engine.answer(short).ids.count == 3)
        let statistics = engine.statistics
        #expect(statistics.cancelled == 10 && statistics.finished == 1, "\(statistics)")
    }

    @Test func deadlinesAndShutdown() async throws {
        let engine = try await BatchEngine.tiny()
        var request = EngineRequest(prompt: try tiny.prompt("Hi"), maxTokens: 10_000)
        request.deadline = .now + .milliseconds(30)
        await #expect(throws: EngineError.deadline(seconds: 0)) { try await engine.answer(request) }
        request.deadline = nil
        let task = Task { [request] in try await engine.answer(request) }
        while engine.statistics.decodeSteps < 3 { await Task.yield() }
        engine.shutdown()
        await #expect(throws: EngineError.shuttingDown) { try await task.value }
        await #expect(throws: EngineError.shuttingDown) { try await engine.answer(request) }
    }

    /// V7: operations run out of memory at 20 places; only the answer that needed them fails.
    @Test func anEngineOutlivesRunningOutOfMemory() async throws {
        let counter = Counter(), places = Counter()
        let engine = try await BatchEngine.tiny { name in
            let place = places.value.withLock { $0 }
            if place > 0, counter.next() == place {
                throw TorchError(kind: .outOfMemory, operation: name, message: "injected")
            }
        }
        let request = EngineRequest(prompt: try tiny.prompt("Hi", pictures: [(50, 40)]), maxTokens: 8)
        let golden = try await engine.answer(request)
        var failures = 0
        for fault in 0..<20 {
            counter.value.withLock { $0 = 0 }
            places.value.withLock { $0 = 1 + fault * 6 }
            do { _ = try await engine.answer(request) } catch EngineError.outOfMemory { failures += 1 }
            places.value.withLock { $0 = 0 }
            #expect(try await engine.answer(request) == golden, "after fault \(fault)")
        }
        print("V7: 20 faults injected, \(failures) requests failed, 0 unexpected outcomes")
        #expect(failures == 20)
    }

    @Test func aFaultInABatchCostsNobodyElse() async throws {
        let broken = Counter()
        let engine = try await BatchEngine.tiny { name in
            // Once while several are decoded, in the middle of a pass.
            if name == "text.layer1.mlp", broken.next() == 40 {
                throw TorchError(kind: .outOfMemory, operation: name, message: "injected")
            }
        }
        let requests = try requests()
        let together = try await withThrowingTaskGroup(of: (Int, Heard?).self) { group in
            for (index, request) in requests.enumerated() {
                group.addTask { (index, try? await engine.answer(request)) }
            }
            return try await group.reduce(into: [Int: Heard]()) { $0[$1.0] = $1.1 }
        }
        let fresh = try await BatchEngine.tiny()
        for (index, heard) in together { #expect(try await fresh.answer(requests[index]) == heard) }
        #expect(together.count >= requests.count - 1)
    }
}
