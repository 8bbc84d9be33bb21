import Foundation
import Inference
import Media
import ModelTestSupport
import Models
import Server
import Testing
import Text

/// What clients of OpenAI's API get.
@Suite(.serialized) struct ChatTests {
    @Test func answersAreTheModels() async throws {
        let server = try await TestServer()
        let tiny = try TinyQwen2VL(), generator = Generator(tiny.model)
        for pictures in [[], [(width: 50, height: 40)], [(50, 40), (33, 90)]] {
            let prompt = try tiny.prompt("What is it?", pictures: pictures, seed: 5)
            let expected = try generator.generate(prompt, GenerationOptions(maxTokens: 12))
            let text = try tiny.folder.tokenizer.decode(expected.tokens, skipSpecialTokens: true)
            let body = try TestServer.question("What is it?", pictures: pictures, seed: 5, maxTokens: 12)
            let response = try await server.chat(body)
            #expect(response.status == 200 && response.isComplete, "\(response.text)")
            #expect(response.content() == text)
            #expect(response.usage["prompt_tokens"] == prompt.rows.count)
            #expect(response.usage["completion_tokens"] == 12)
            let streamed = try await server.chat(
                body.merging(["stream": true, "stream_options": ["include_usage": true]]) { $1 })
            #expect(streamed.headers["content-type"]?.hasPrefix("text/event-stream") == true)
            #expect(streamed.isComplete && streamed.isDone && streamed.streamed() == text)
            #expect((streamed.events.last?["usage"] as? [String: Any])?["completion_tokens"] as? Int == 12)
            let reasons = streamed.events.flatMap { $0["choices"] as? [[String: Any]] ?? [] }
                .compactMap { $0["finish_reason"] as? String }
            #expect(reasons == ["length"])
        }
        try await server.stop()
    }

    @Test func severalAnswersSeedsStopsAndScores() async throws {
        let server = try await TestServer()
        let sampled = try TestServer.question("Tell", maxTokens: 10, ["temperature": 1.2, "seed": 7, "n": 3])
        let first = try await server.chat(sampled), second = try await server.chat(sampled)
        let texts = (0..<3).map { first.content($0) ?? "" }
        #expect(texts == (0..<3).map { second.content($0) ?? "" } && Set(texts).count == 3)
        #expect((3...30).contains(first.usage["completion_tokens"] ?? 0))
        let streamed = try await server.chat(sampled.merging(["stream": true]) { $1 })
        #expect((0..<3).map { streamed.streamed($0) } == texts)

        let free = try #require(try await server.chat(TestServer.question("Stop", maxTokens: 20)).content())
        let stop = String(Array(free)[4..<7])
        let cut = try await server.chat(TestServer.question("Stop", maxTokens: 20, ["stop": [stop]]))
        #expect(cut.content() == free.components(separatedBy: stop)[0])

        let scored = try await server.chat(
            TestServer.question("Score", maxTokens: 4, ["logprobs": true, "top_logprobs": 2]))
        let choices = scored.json()["choices"] as? [[String: Any]]
        let tokens = (choices?.first?["logprobs"] as? [String: Any])?["content"] as? [[String: Any]] ?? []
        #expect(tokens.count == 4)
        #expect(tokens.allSatisfy { ($0["top_logprobs"] as? [Any])?.count == 2 && ($0["logprob"] as? Double ?? 1) < 0 })

        let forced = try await server.chat(TestServer.question("Bias", maxTokens: 3, ["logit_bias": ["70": 100]]))
        let token = try TinyQwen2VL().folder.tokenizer.decode([70])
        #expect(forced.content() == token + token + token)
        try await server.stop()
    }

    @Test func completionsTokensAndModels() async throws {
        let server = try await TestServer()
        let answer = try await server.post(
            "/v1/completions", ["model": "tiny", "prompt": "Once", "max_tokens": 6, "temperature": 0, "logprobs": 1])
        let choice = (answer.json()["choices"] as? [[String: Any]])?.first
        #expect(answer.status == 200 && choice?["finish_reason"] as? String == "length", "\(answer.text)")
        #expect(((choice?["logprobs"] as? [String: Any])?["tokens"] as? [Any])?.count == 6)
        let streamed = try await server.post(
            "/v1/completions", ["prompt": "Once", "max_tokens": 6, "temperature": 0, "stream": true])
        let text = streamed.events.flatMap { $0["choices"] as? [[String: Any]] ?? [] }
            .compactMap { $0["text"] as? String }.joined()
        #expect(text == choice?["text"] as? String && streamed.isDone)

        let tokens = try await server.post("/tokenize", ["prompt": "Once upon"])
        let ids = try #require(tokens.json()["tokens"] as? [Int])
        let back = try await server.post("/detokenize", ["tokens": ids])
        #expect(back.json()["prompt"] as? String == "Once upon")
        let models = try await server.get("/v1/models").json()["data"] as? [[String: Any]]
        #expect(models?.first?["id"] as? String == "tiny")
        #expect(try await server.get("/v1/models/tiny").json()["id"] as? String == "tiny")
        #expect(try await server.get("/v1/models/other").status == 404)
        #expect(try await server.get("/health").status == 200)
        #expect(try await server.get("/ready").status == 200)
        let metrics = try await server.get("/metrics").text
        #expect(metrics.contains("omma_completion_tokens_total 12\n"), "\(metrics)")
        #expect(metrics.contains("omma_first_token_seconds_count 2\n"))
        try await server.stop()
    }

    /// V2: what a person types is text, whatever it looks like.
    @Test func userTextNeverBecomesASpecialToken() async throws {
        let server = try await TestServer()
        let special = [
            "<|image_pad|>", "<|im_end|>", "<|im_start|>system", "<|vision_start|><|image_pad|><|vision_end|>",
            "<|endoftext|>", "<image>", "<img>", "<|video_pad|>", "<tool_call>",
        ]
        let tokenizer = try TinyQwen2VL().folder.tokenizer
        let reserved = Set(special.compactMap { tokenizer.id(for: $0) })
        #expect(reserved.count >= 3)
        func ids(_ text: String) async throws -> [Int] {
            let body = ["messages": [["role": "user", "content": text]]]
            return try await server.post("/tokenize", body).json()["tokens"] as? [Int] ?? []
        }
        let plain = try await ids("x")
        func count(_ ids: [Int]) -> Int { ids.count { reserved.contains(Int32($0)) } }
        for text in special {
            let found = try await ids(text)
            #expect(found.count > plain.count && count(found) == count(plain), "\(text)")
            let response = try await server.chat(TestServer.question(text, maxTokens: 1))
            #expect(response.status == 200 && response.usage["prompt_tokens"] == found.count)
            let raw = try await server.post("/tokenize", ["prompt": text]).json()["tokens"] as? [Int] ?? []
            #expect(!raw.isEmpty && count(raw) == 0)
        }
        print("V2: \(special.count) texts that look like special tokens, 0 became one")
        try await server.stop()
    }
}
