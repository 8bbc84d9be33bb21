import Foundation
import Media
import ModelTestSupport
import Server
import Testing

/// Requests that are wrong, and people who may not ask.
@Suite(.serialized) struct GuardTests {
    /// V1 and I4: whatever is wrong with a request, the client hears what, in OpenAI's shape, and nothing of our inside.
    @Test func malformedRequestsAreRefused() async throws {
        let server = try await TestServer { $0.maxBodyBytes = 1 << 20 }
        let good = try TestServer.question("Hi", maxTokens: 2)
        let golden = try await server.chat(good).content()
        var bodies = try Self.badFields().map {
            Array(try JSONSerialization.data(withJSONObject: good.merging($0) { $1 }))
        }
        bodies += Self.badTexts().map { Array($0.utf8) }
        bodies += try Self.badPictures().map { Array(try JSONSerialization.data(withJSONObject: $0)) }
        var refused = 0
        for body in bodies {
            let response = try await server.send("POST", "/v1/chat/completions", body: body)
            let what = String(decoding: body.prefix(300), as: UTF8.self)
            #expect((400..<500).contains(response.status), "\(response.status) for \(what)")
            let message = response.errorMessage
            #expect(message?.isEmpty == false, "\(response.text) for \(what)")
            #expect(
                response.text.firstMatch(of: /0x[0-9a-f]{6,}|\/(home|usr|tmp|work|root)\//) == nil, "\(response.text)")
            refused += 1
        }
        for (path, json) in Self.otherRoutes() {
            let response = try await server.post(path, json)
            #expect((400..<500).contains(response.status) && response.errorMessage != nil, "\(path) \(json)")
            refused += 1
        }
        for (method, path, type, status) in [
            ("POST", "/v1/chat/completions", "text/plain", 415), ("POST", "/v1/chat/completions", "image/png", 415),
            ("GET", "/v1/chat/completions", "application/json", 405), ("PUT", "/v1/models", "application/json", 405),
            ("POST", "/v1/embeddings", "application/json", 404), ("GET", "/../etc/passwd", "text/plain", 404),
            ("GET", "/%2e%2e/%2e%2e/etc/passwd", "text/plain", 404), ("DELETE", "/v1/models/tiny", "text/plain", 405),
        ] {
            let response = try await server.send(
                method, path, body: method == "POST" ? Array("{}".utf8) : [], headers: ["Content-Type": type])
            #expect(response.status == status && response.errorMessage != nil, "\(method) \(path): \(response.status)")
            refused += 1
        }
        let large = try await server.send("POST", "/tokenize", body: [UInt8](repeating: 0x20, count: 2 << 20))
        #expect(large.status == 413 && large.errorMessage != nil)
        print("V1: \(refused + 1) malformed requests, 0 answers of 5xx, 0 of another shape")
        print("I4: \(refused) refusals searched for addresses in memory and paths of files, 0 held one")
        #expect(refused >= 300)
        #expect(try await server.chat(good).content() == golden)
        #expect(try await server.get("/metrics").text.contains("omma_requests_here 0\n"))
        try await server.stop()
    }

    private static func badFields() -> [[String: Any]] {
        let numbers: [Any] = [-1, 1e9, 1e300, "1", [1], ["a": 1], true]
        var fields: [[String: Any]] = []
        for name in ["temperature", "top_p", "n", "max_tokens", "max_completion_tokens", "top_logprobs"] {
            for value in numbers where !(name.hasPrefix("max_") && value as? Double == 1e9) {
                // A flag is a number to Foundation, and so is excluded where 1 would be right.
                if value is Bool, name != "top_logprobs" {
                    fields.append([name: "true"])
                } else {
                    fields.append([name: value])
                }
            }
        }
        fields += [["max_tokens": 0], ["max_tokens": -1], ["max_completion_tokens": 1e12], ["n": 0], ["n": 1.5]]
        for name in ["presence_penalty", "frequency_penalty"] {
            for value in [-3, 3, "x", [], [:]] as [Any] { fields.append([name: value]) }
        }
        for name in ["stream", "logprobs"] {
            for value in ["true", 2, [], [:], "no"] as [Any] { fields.append([name: value]) }
        }
        for value in [3, [], "x"] as [Any] { fields.append(["stream_options": value]) }
        fields += [["stream_options": ["include_usage": true]], ["stream": true, "stream_options": ["x": 1]]]
        let manyStops = (0..<10_000).map { "stop \($0)" }
        for value in [3, [3], [""], "", manyStops, [:], [["x"]], [String(repeating: "x", count: 600)]] as [Any] {
            fields.append(["stop": value])
        }
        var manyBiases: [String: Int] = [:]
        for id in 0..<100_000 { manyBiases["\(id)"] = 1 }
        for value in [
            manyBiases, ["x": 1], ["-1": 1], ["99999999": 1], ["1": 101], ["1": "x"], [], 3, ["1": [:]],
            ["99999999999999999999": 1],
        ] as [Any] { fields.append(["logit_bias": value]) }
        for value in ["text", 3, [:], ["type": "xml"], ["type": 3], [["type": "text"]]] as [Any] {
            fields.append(["response_format": value])
        }
        for value in [
            "x", 3, [3], [[:]], [["type": "x"]], [["type": "function"]], [["type": "function", "function": [:]]],
            [["type": "function", "function": ["name": ""]]], [["type": "function", "function": ["name": "a b"]]],
            [["type": "function", "function": ["name": "a", "parameters": 3]]],
            [["type": "function", "function": ["name": "a", "x": 3]]],
            [["type": "function", "function": ["name": "a"]], ["type": "function", "function": ["name": "a"]]],
            (0..<200).map { ["type": "function", "function": ["name": "f\($0)"]] },
        ] as [Any] { fields.append(["tools": value]) }
        for value in ["x", "required", 3, [:], ["type": "function"], ["type": "function", "function": ["name": "a"]]]
            as [Any]
        { fields.append(["tool_choice": value]) }
        for value in ["gpt-4", "", 3, [], "../../etc/passwd", "<|im_end|>"] as [Any] { fields.append(["model": value]) }
        for name in ["functions", "temprature", "best_of", "x", "<|image_pad|>", "modalities"] {
            fields.append([name: ["audio"]])
        }
        for value in messages() { fields.append(["messages": value]) }
        for value in [[1], "x", 1.5, 1e30] as [Any] { fields.append(["seed": value]) }
        for value in [-2, 1.5, "x", 1e12] as [Any] { fields.append(["top_k": value]) }
        for value in [0, -1, "x", 1e12] as [Any] { fields.append(["repetition_penalty": value]) }
        return fields
    }

    private static func messages() -> [Any] {
        func user(_ content: Any) -> Any { [["role": "user", "content": content]] }
        func image(_ value: Any) -> Any { user([["type": "image_url", "image_url": value]]) }
        return [
            [], "x", 3, [:], [3], ["x"], [[:]], [["role": "user"]], [["content": "x"]],
            [["role": "king", "content": "x"]], [["role": 3, "content": "x"]], user(3), user([3]), user(["x"]),
            user([[:]]), user([["type": "text"]]), user([["type": "text", "text": 3]]), user([["type": "sound"]]),
            user([["text": "x"]]), user([["type": "image_url"]]), image("x"), image([:]), image(["url": 3]),
            image(["url": "https://example.com/a.png"]), image(["url": "http://127.0.0.1/"]),
            image(["url": "file:///etc/passwd"]), image(["url": "data:image/png,abc"]), image(["url": ""]),
            image(["url": "data:image/png;base64,@@@@"]), image(["url": "data:image/png;base64,"]),
            image(["url": "data:image/png;base64,aGVsbG8gd29ybGQ="]),
            image(["url": "data:;base64,AAAA", "detail": "x"]),
            image(["url": "data:;base64,AAAA", "x": 1]), user([["type": "video", "video": []]]),
            user([["type": "video", "video": "x"]]), user([["type": "video", "video": ["x"], "fps": 0]]),
            [["role": "assistant", "content": [["type": "image_url", "image_url": ["url": "data:;base64,AA"]]]]],
            [["role": "system", "content": [["type": "image_url", "image_url": ["url": "data:;base64,AA"]]]]],
            [["role": "assistant", "tool_calls": [["id": "x"]]]], [["role": "assistant"]],
            [["role": "assistant", "tool_calls": [["function": ["name": "x", "arguments": "{"]]]]],
            [["role": "user", "content": "x", "audio": ["id": "x"]]], [["role": "user", "content": "x", "y": 1]],
            (0..<2000).map { ["role": "user", "content": "\($0)"] }, user(String(repeating: "word ", count: 60_000)),
            user(String(repeating: "x", count: 900_000)),
        ]
    }

    private static func badTexts() -> [String] {
        let start = "{\"messages\":"
        return [
            "", " ", "{", "[]", "3", "null", "\"x\"", "{]", "{\"messages\":}", "{'messages': []}", "\u{FEFF}{", "NaN",
            "{\"messages\":[],}", "{\"a\":01}", "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}", "{\"a\":1e999}",
            start + String(repeating: "[", count: 10_000), start + String(repeating: "{\"a\":", count: 10_000),
            start + String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000) + "}",
            "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]} x", "--boundary\r\n", "a=b&c=d", "<xml/>",
            "{\"n\": 1e400, \"messages\": []}", "{\"messages\": [], \"messages\": 3}",
        ]
    }

    private static func badPictures() throws -> [[String: Any]] {
        let file = try Image.noise(width: 40, height: 30, seed: 2).pngData()
        var files: [[UInt8]] = [10, 50, 90].map { Array(file.prefix(file.count * $0 / 100)) }
        files += [Array(file.prefix(8)), [0xFF, 0xD8, 0xFF], Array("GIF89a".utf8), Array("RIFF....WEBP".utf8)]
        // Sizes that the file does not hold, and more than is allowed.
        for size: [UInt8] in [[0, 0, 0xFF, 0xFF], [0x7F, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0]] {
            var lie = file
            lie.replaceSubrange(16..<20, with: size)
            lie.replaceSubrange(20..<24, with: size)
            files.append(lie)
        }
        var flipped = file
        flipped[file.count / 2] ^= 0xFF
        files.append(flipped)
        files.append(try Image.noise(width: 400, height: 1, seed: 2).pngData())
        var requests = try files.map { file in
            try TestServer.question("x").merging([
                "messages": [
                    [
                        "role": "user",
                        "content": [["type": "image_url", "image_url": ["url": TestServer.dataURL(file)]]],
                    ]
                ]
            ]) { $1 }
        }
        requests.append(try TestServer.question("x", pictures: [(Int, Int)](repeating: (4, 4), count: 17)))
        return requests
    }

    private static func otherRoutes() -> [(String, [String: Any])] {
        var all: [(String, [String: Any])] = []
        for prompt in [3, [], ["x", "y"], [1.5], [-1], [99_999_999], [1e12], [[1]], [:], true] as [Any] {
            all.append(("/v1/completions", ["prompt": prompt]))
        }
        for more: [String: Any] in [
            ["echo": true], ["suffix": "x"], ["best_of": 3], ["logprobs": 50], ["logprobs": true], ["x": 1],
            ["max_tokens": 0], ["n": 100], ["messages": []],
        ] { all.append(("/v1/completions", ["prompt": "x"].merging(more) { $1 })) }
        for name in [
            "temperature", "top_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "n", "top_k",
        ] {
            for value in [-4, 1e9, "1", [], [:], true] as [Any] {
                all.append(("/v1/completions", ["prompt": "x", name: value]))
            }
        }
        for body: [String: Any] in [[:], ["prompt": 3], ["messages": 3], ["prompt": "x", "messages": []], ["x": 1]] {
            all.append(("/tokenize", body))
        }
        for tokens in [3, "x", ["x"], [-1], [1e12], [99_999_999], [1.5]] as [Any] {
            all.append(("/detokenize", ["tokens": tokens]))
        }
        return all + [("/detokenize", [:]), ("/detokenize", ["tokens": [1], "x": 2])]
    }

    /// V3: every route but `/health` wants a key, and no page of another site gets in.
    @Test func keysGuardEveryRoute() async throws {
        let server = try await TestServer { $0.keys = ["first-key", "another-key"] }
        let routes = [
            ("GET", "/"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/v1/models"), ("GET", "/v1/models/tiny"),
            ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/tokenize"),
            ("POST", "/detokenize"), ("GET", "/openapi.json"), ("GET", "/nowhere"), ("OPTIONS", "/v1/models"),
        ]
        let basic = "Basic " + Data("person:first-key".utf8).base64EncodedString()
        for (method, path) in routes {
            for key in [nil, "", "Bearer", "Bearer ", "Bearer wrong-key", "Bearer first-key2", "first-key", "Basic x"] {
                let response = try await server.send(
                    method, path, headers: key.map { ["Authorization": $0] } ?? [:])
                #expect(response.status == 401 && response.errorMessage != nil, "\(method) \(path) \(key ?? "-")")
                #expect(response.headers["www-authenticate"] != nil)
            }
            for key in ["Bearer first-key", "bearer another-key", basic] {
                let response = try await server.send(method, path, headers: ["Authorization": key])
                #expect(response.status != 401 && response.status != 500, "\(method) \(path): \(response.status)")
                #expect(response.headers["access-control-allow-origin"] == nil)
            }
        }
        #expect(try await server.get("/health").status == 200)
        print("V3: \(routes.count) routes, 8 wrong keys each: all refused")
        try await server.stop()
    }

    /// Names that another site lets point at this machine do not help it.
    @Test func loopbackAnswersToItsOwnNameOnly() async throws {
        let server = try await TestServer(), port = server.port
        for (host, status) in [
            ("evil.example", 403), ("evil.example:\(port)", 403), ("localhost:\(port)", 200), ("127.0.0.1", 200),
            ("[::1]:\(port)", 200), ("localhost.evil.example", 403),
        ] {
            let response = try await onThread {
                let connection = try RawConnection(port: port)
                connection.send(Array("GET /ready HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n".utf8))
                return connection.response()
            }
            #expect(response.status == status, "\(host)")
        }
        try await server.stop()
    }
}
