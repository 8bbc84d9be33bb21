import Foundation
import Inference
import Logging
import Media
import ModelTestSupport
import Models
import Server
import ServiceLifecycle
import Serving
import Torch

/// A server in front of the small model of the goldens, on a port of its own.
final class TestServer: Sendable {
    let port: Int
    let engine: BatchEngine
    private let group: ServiceGroup
    private let task: Task<Void, any Error>

    init(
        _ change: (inout ServerOptions) -> Void = { _ in }, observer: (@Sendable (String) throws -> Void)? = nil
    ) async throws {
        var options = ServerOptions(modelName: "tiny")
        options.port = 0
        options.maxBatch = 4
        change(&options)
        let engine = try await BatchEngine.start(
            BatchOptions(maxBatch: options.maxBatch, prefillChunk: 16), observer: observer
        ) {
            Engine.threads = 1
            return try ChatEngine(ModelFolder(TinyQwen2VL.url), dtype: .float32)
        }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let (ports, sink) = AsyncStream<Int>.makeStream()
        let server = OmmaServer(options, engine: engine, generation: engine.generation, logger: logger) {
            sink.yield($0)
        }
        let group = ServiceGroup(configuration: ServiceGroupConfiguration(services: [server], logger: logger))
        task = Task {
            defer { sink.finish() }
            try await group.run()
        }
        var found = 0
        for await port in ports {
            found = port
            break
        }
        port = found
        self.engine = engine
        self.group = group
    }

    /// Asks for a graceful end and waits for it.
    func stop() async throws {
        await group.triggerGracefulShutdown()
        try await task.value
    }

    func beginToStop() async { await group.triggerGracefulShutdown() }

    static func head(_ method: String, _ path: String, _ headers: [String: String], length: Int) -> String {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        return head + "Content-Length: \(length)\r\n\r\n"
    }

    /// The bytes of a request with a JSON body.
    static func bytes(
        _ method: String = "POST", _ path: String, body: [UInt8] = [], headers: [String: String] = [:]
    ) -> [UInt8] {
        var all = headers
        if !body.isEmpty, all["Content-Type"] == nil { all["Content-Type"] = "application/json" }
        return Array(head(method, path, all, length: body.count).utf8) + body
    }

    func send(
        _ method: String = "POST", _ path: String, body: [UInt8] = [], headers: [String: String] = [:]
    ) async throws -> RawResponse {
        let bytes = Self.bytes(method, path, body: body, headers: headers), port = port
        return try await onThread {
            let connection = try RawConnection(port: port)
            connection.send(bytes)
            return connection.response()
        }
    }

    func get(_ path: String, headers: [String: String] = [:]) async throws -> RawResponse {
        try await send("GET", path, headers: headers)
    }

    func post(_ path: String, _ json: [String: Any], headers: [String: String] = [:]) async throws -> RawResponse {
        try await send(
            "POST", path, body: Array(JSONSerialization.data(withJSONObject: json, options: .sortedKeys)),
            headers: headers)
    }

    func chat(_ json: [String: Any]) async throws -> RawResponse { try await post("/v1/chat/completions", json) }

    /// Bytes of a chat request.
    static func chatBytes(_ json: [String: Any]) throws -> [UInt8] {
        bytes(
            "POST", "/v1/chat/completions",
            body: Array(try JSONSerialization.data(withJSONObject: json, options: .sortedKeys)))
    }

    /// A request about noise pictures.
    static func question(
        _ text: String = "Hi", pictures: [(width: Int, height: Int)] = [], seed: UInt64 = 1, maxTokens: Int = 8,
        _ more: [String: Any] = [:]
    ) throws -> [String: Any] {
        let parts: [[String: Any]] =
            try pictures.enumerated().map { index, size in
                let file = try Image.noise(width: size.width, height: size.height, seed: seed &+ UInt64(index))
                    .pngData()
                return ["type": "image_url", "image_url": ["url": dataURL(file)]]
            } + [["type": "text", "text": text]]
        let base: [String: Any] = [
            "model": "tiny", "messages": [["role": "user", "content": parts]], "max_completion_tokens": maxTokens,
            "temperature": 0,
        ]
        return base.merging(more) { $1 }
    }

    static func dataURL(_ file: [UInt8]) -> String { "data:image/png;base64," + Data(file).base64EncodedString() }
}

extension RawResponse {
    /// The text of a choice of a whole answer.
    func content(_ index: Int = 0) -> String? {
        guard let choices = json()["choices"] as? [[String: Any]], choices.indices.contains(index),
            let message = choices[index]["message"] as? [String: Any]
        else { return nil }
        return message["content"] as? String
    }

    /// The text of a choice of a streamed answer.
    func streamed(_ index: Int = 0) -> String {
        events.flatMap { $0["choices"] as? [[String: Any]] ?? [] }.filter { $0["index"] as? Int == index }
            .compactMap { ($0["delta"] as? [String: Any])?["content"] as? String }.joined()
    }

    var usage: [String: Int] { (json()["usage"] as? [String: Any] ?? [:]).compactMapValues { $0 as? Int } }
}
