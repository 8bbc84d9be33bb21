import Foundation
import Media
import ModelTestSupport
import Server
import Serving
import Synchronization
import TestSupport
import Testing

/// Many clients, slow ones, ones that leave, and the end of the server.
@Suite(.serialized) struct LoadTests {
    private func settled(_ server: TestServer) async throws -> Bool {
        for _ in 0..<500 {
            let statistics = server.engine.statistics
            if statistics.running == 0, statistics.waiting == 0 {
                let metrics = try await server.get("/metrics").text
                if metrics.contains("omma_requests_here 0\n"), metrics.contains("omma_reserved_bytes 0\n") {
                    return true
                }
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        return false
    }

    /// Answers are whole, and everybody gets the one that is theirs.
    @Test func manyClientsGetTheirOwnAnswers() async throws {
        let server = try await TestServer()
        let questions = try (0..<8).map { index in
            try TestServer.question(
                "Question \(index)", pictures: index % 2 == 0 ? [(40 + index, 36)] : [], seed: UInt64(index),
                maxTokens: 6 + index)
        }
        var alone: [String] = []
        for question in questions { alone.append(try #require(try await server.chat(question).content())) }
        #expect(Set(alone).count > 4)
        let clients = 32, rounds = 2
        let bodies = try questions.map { question in
            try [false, true].map { try TestServer.chatBytes(question.merging(["stream": $0]) { $1 }) }
        }
        let port = server.port
        let wrong = try await withThrowingTaskGroup(of: [String].self) { group in
            for client in 0..<clients {
                group.addTask { [alone] in
                    try await onThread {
                        try (0..<rounds).compactMap { round -> String? in
                            let index = (client + round * 3) % bodies.count, streams = (client + round) % 2
                            let connection = try RawConnection(port: port)
                            connection.send(bodies[index][streams])
                            let response = connection.response()
                            if response.status == 429 { return nil }
                            let text = streams == 1 ? response.streamed() : response.content()
                            let isWhole = response.isComplete && (streams == 0 || response.isDone)
                            return isWhole && text == alone[index] ? nil : "\(response.status) \(response.text)"
                        }
                    }
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(wrong.isEmpty, "\(wrong.first ?? "")")
        print("\(clients) clients, \(clients * rounds) requests: 0 lost, cut or crossed answers")
        #expect(try await settled(server))
        try await server.stop()
    }

    /// V4: more than fits is refused at once, and what was taken is answered.
    @Test func whatIsTooMuchIsRefused() async throws {
        let isHeld = Mutex(true), places = 5, excess = 45
        let server = try await TestServer(
            {
                $0.maxBatch = 1
                $0.maxQueue = places - 1
            }, observer: { _ in while isHeld.withLock({ $0 }) { usleep(500) } })
        let bytes = try TestServer.chatBytes(TestServer.question("Long", maxTokens: 20)), port = server.port
        let accepted = (0..<places).map { _ in
            Task {
                try await onThread {
                    let connection = try RawConnection(port: port)
                    connection.send(bytes)
                    return connection.response()
                }
            }
        }
        while try await !server.get("/metrics").text.contains("omma_requests_here \(places)\n") {
            try await Task.sleep(for: .milliseconds(5))
        }
        // The model does nothing meanwhile, so that exactly the excess is refused.
        var seconds: [Double] = [], others: [Double] = []
        let plain = TestServer.bytes("GET", "/health")
        for _ in 0..<excess {
            let timed: @Sendable ([UInt8]) throws -> (RawResponse, Double) = { bytes in
                let start = ContinuousClock.now
                let connection = try RawConnection(port: port)
                connection.send(bytes)
                return (connection.response(), (ContinuousClock.now - start) / .seconds(1))
            }
            others.append(try await onThread { try timed(plain).1 })
            let (response, time) = try await onThread { try timed(bytes) }
            #expect(response.status == 429 && response.headers["retry-after"] != nil, "\(response.text)")
            #expect(response.isComplete && response.errorMessage != nil)
            seconds.append(time)
        }
        isHeld.withLock { $0 = false }
        for client in accepted {
            let response = try await client.value
            #expect(response.status == 200 && response.isComplete, "\(response.text)")
        }
        func milliseconds(_ seconds: [Double], _ place: Int) -> Double {
            (seconds.sorted()[place] * 1e5).rounded() / 100
        }
        let median = milliseconds(seconds, excess / 2), slowest = milliseconds(seconds, excess - 1)
        let other = milliseconds(others, excess / 2)
        print(
            "V4: \(places) answered, \(excess) refused, in \(median) ms (median), \(slowest) ms (slowest); "
                + "a request that asks nothing takes \(other) ms")
        // What the machine takes for any request while other tests run is not the refusal's.
        #expect(median - other < 50)
        #expect(try await settled(server))
        try await server.stop()
    }

    /// V5: whoever leaves, whenever, leaves nothing behind.
    @Test func clientsThatLeaveFreeTheirPlaces() async throws {
        // No long answer is done before its client leaves, however busy the machine is.
        let server = try await TestServer({ $0.maxQueue = 400 }, observer: { _ in usleep(5000) })
        let golden = try await server.chat(TestServer.question("Hi")).content()
        let port = server.port, clients = 200
        let bodies = try [false, true].map { stream in
            try TestServer.chatBytes(
                TestServer.question("Hello", pictures: [(60, 60)], maxTokens: 4000, ["stream": stream]))
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<clients {
                group.addTask {
                    try await onThread {
                        var random = TestSupport.SeededGenerator(UInt64(client))
                        let connection = try RawConnection(port: port)
                        let body = bodies[client % 2]
                        switch client % 4 {
                        case 0: connection.send(body.prefix(Int.random(in: 1..<body.count, using: &random)))
                        case 1: connection.send(body)
                        default:
                            connection.send(body)
                            if client % 2 == 1 { connection.readUntil("data: ") }
                        }
                        usleep(UInt32.random(in: 0..<30_000, using: &random))
                        connection.leave()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await settled(server), "\(server.engine.statistics)")
        let statistics = server.engine.statistics
        print("V5: \(clients) clients left, \(statistics.cancelled) answers cancelled, 0 places lost")
        #expect(statistics.finished <= 1 && statistics.failed == 0, "\(statistics)")
        #expect(try await server.chat(TestServer.question("Hi")).content() == golden)
        try await server.stop()
    }

    /// V6: told to end, a server refuses what is new, lets answers end as long as it may, and says so to the rest.
    @Test func theServerEndsGracefully() async throws {
        let isHeld = Mutex(true)
        // No grace at all: the long answers are not done by then on any machine.
        let server = try await TestServer(
            {
                $0.graceSeconds = 0
                $0.maxBatch = 16
            }, observer: { _ in while isHeld.withLock({ $0 }) { usleep(500) } })
        let port = server.port
        let short = try TestServer.chatBytes(TestServer.question("Hi", maxTokens: 20, ["stream": true]))
        let long = try TestServer.chatBytes(TestServer.question("Hi", maxTokens: 4000, ["stream": true]))
        let clients = (0..<20).map { index in
            Task {
                try await onThread {
                    let connection = try RawConnection(port: port)
                    connection.send(index < 10 ? short : long)
                    return connection.response()
                }
            }
        }
        // All have come before the first one is answered.
        while try await !server.get("/metrics").text.contains("omma_requests_here 20\n") {
            try await Task.sleep(for: .milliseconds(5))
        }
        isHeld.withLock { $0 = false }
        while server.engine.statistics.finished == 0 { try await Task.sleep(for: .milliseconds(1)) }
        await server.beginToStop()
        var ended = 0, told = 0
        for client in clients {
            let response = try await client.value
            #expect(response.isComplete && response.isDone, "\(response.status) \(response.text.suffix(200))")
            let error = response.events.last?["error"] as? [String: Any]
            if error?["code"] as? String == "shutting_down" { told += 1 } else if error == nil { ended += 1 }
        }
        try await server.stop()
        print("V6: 20 streams, \(ended) ended, \(told) were told, 0 were cut")
        #expect(ended + told == 20 && told > 0 && ended > 0)
        await #expect(throws: (any Error).self) { try await server.get("/health") }
    }

    /// V8: who reads slowly slows nobody, and gets all of it.
    @Test func aSlowReaderGetsItsAnswer() async throws {
        let server = try await TestServer(), port = server.port
        let question = try TestServer.question("Slow", maxTokens: 400)
        let bytes = try TestServer.chatBytes(question.merging(["stream": true]) { $1 })
        let expected = try await server.chat(question).content()
        let slow = Task {
            try await onThread {
                let connection = try RawConnection(port: port, receiveBuffer: 1024)
                connection.send(bytes)
                for _ in 0..<40 {
                    connection.read(upTo: 16)
                    usleep(5000)
                }
                return connection.response()
            }
        }
        for _ in 0..<3 { #expect(try await server.chat(TestServer.question("Quick")).status == 200) }
        let response = try await slow.value
        #expect(response.isComplete && response.isDone && response.streamed() == expected)
        print("V8: 1 reader of 16 bytes at a time beside 3 quick ones: 4 whole answers")
        try await server.stop()
    }
}
