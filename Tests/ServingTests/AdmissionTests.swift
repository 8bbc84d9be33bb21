import Foundation
import Media
import ModelTestSupport
import Models
import Serving
import Testing

@Suite struct AdmissionTests {
    @Test func placesAreLimited() throws {
        let admission = Admission(maxRequests: 2, maxBytes: 100)
        var tickets = try [admission.enter(), admission.enter()]
        #expect(throws: EngineError.overloaded(retryAfterSeconds: 1)) { try admission.enter() }
        tickets.removeLast()
        tickets.append(try admission.enter())
        #expect(admission.count == 2)
        admission.close()
        tickets.removeAll()
        #expect(throws: EngineError.shuttingDown) { try admission.enter() }
        #expect(admission.count == 0)
    }

    @Test func memoryIsWaitedForInTurn() async throws {
        let admission = Admission(maxRequests: 8, maxBytes: 100)
        let first = try admission.enter()
        try await first.reserve(bytes: 80)
        await #expect(throws: EngineError.tooLarge(bytes: 101, limit: 100)) {
            try await admission.enter().reserve(bytes: 101)
        }
        let second = Task {
            let ticket = try admission.enter()
            try await ticket.reserve(bytes: 50)
            return ticket
        }
        while admission.count < 2 { await Task.yield() }
        let impatient = Task { try await admission.enter().reserve(bytes: 90) }
        while admission.count < 3 { await Task.yield() }
        impatient.cancel()
        await #expect(throws: CancellationError.self) { try await impatient.value }
        #expect(admission.bytes == 80)
        withExtendedLifetime(first) {}
        _ = consume first
        let ticket = try await second.value
        #expect(admission.bytes == 50 && admission.count == 1)
        withExtendedLifetime(ticket) {}
    }

    @Test func pictureAreMeasuredByTheirHeaders() async throws {
        let engine = try await BatchEngine.tiny()
        let preparer = PromptPreparer(engine: engine, limits: PromptLimits(maxPictures: 2, maxPicturePixels: 10_000))
        func message(_ sizes: [(Int, Int)]) throws -> [EncodedMessage] {
            [
                EncodedMessage(
                    .user,
                    try sizes.map {
                        .image(try Image.noise(width: $0.0, height: $0.1, seed: 1).pngData())
                    } + [.text("What is it?")])
            ]
        }
        let messages = try message([(50, 40), (33, 90)])
        let measure = try preparer.measure(messages, maxTokens: 10, answers: 1)
        let sequence = try await preparer.prepare(messages)
        #expect(measure.pictureTokens == sequence.imageTokenCount && measure.bytes > 50 * 40 * 3)
        for bad in [[(101, 100)], [(1, 1), (1, 1), (1, 1)], [(1, 300)]] {
            #expect(throws: PromptError.self) { try preparer.measure(message(bad), maxTokens: 1, answers: 1) }
        }
        // A header that promises too much is refused for what it promises.
        var file = try Image.noise(width: 10, height: 10, seed: 1).pngData()
        file.replaceSubrange(16..<24, with: [0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF])
        #expect(throws: PromptError.self) {
            try preparer.measure([EncodedMessage(.user, [.image(file)])], maxTokens: 1, answers: 1)
        }
    }
}
