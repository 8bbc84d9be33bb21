import Foundation
import Server
import Testing

/// Answers of a given form, and calls of tools: the model is random, so only the constraint can bring the form about.
@Suite(.serialized) struct FormatTests {
    private static var schema: [String: Any] {
        [
            "type": "object",
            "properties": [
                "colour": ["enum": ["red", "green"]], "count": ["type": "integer", "minimum": 1, "maximum": 40],
                "shapes": [
                    "type": "array", "items": ["type": "string", "maxLength": 5], "minItems": 1, "maxItems": 2,
                ],
            ],
            "required": ["colour", "count", "shapes"], "additionalProperties": false,
        ]
    }

    private static var tool: [String: Any] {
        [
            "type": "function", "function": ["name": "look_at", "description": "Looks.", "parameters": schema],
        ]
    }

    private func check(_ text: String?, _ what: String) throws {
        let object = try JSONSerialization.jsonObject(with: Data((text ?? "").utf8)) as? [String: Any]
        #expect(["red", "green"].contains(object?["colour"] as? String ?? ""), "\(what) \(text ?? "")")
        #expect(
            (1...40).contains(object?["count"] as? Int ?? 0)
                && Set(object?.keys ?? [:].keys) == ["colour", "count", "shapes"])
        let shapes = object?["shapes"] as? [String] ?? []
        #expect((1...2).contains(shapes.count) && shapes.allSatisfy { $0.unicodeScalars.count <= 5 })
    }

    @Test func answersFulfilTheirSchema() async throws {
        let server = try await TestServer()
        let format: [String: Any] = ["type": "json_schema", "json_schema": ["name": "x", "schema": Self.schema]]
        for seed in 0..<6 {
            let question = try TestServer.question(
                "Describe", maxTokens: 400, ["response_format": format, "temperature": 1, "seed": seed])
            let response = try await server.chat(question)
            #expect(response.status == 200, "\(response.text)")
            try check(response.content(), "seed \(seed)")
            let streamed = try await server.chat(question.merging(["stream": true]) { $1 })
            #expect(streamed.streamed() == response.content())
        }
        let free = try await server.chat(
            TestServer.question("JSON", maxTokens: 300, ["response_format": ["type": "json_object"], "seed": 3]))
        #expect(free.content()?.hasPrefix("{") == true)
        for schema: [String: Any] in [
            ["type": "string", "pattern": "(?=a)"], ["$ref": "#"], ["type": "thing"], ["enum": []],
            ["type": "object", "properties": ["a": ["$ref": "#"]], "required": ["a"]],
        ] {
            let format: [String: Any] = ["type": "json_schema", "json_schema": ["name": "x", "schema": schema]]
            let response = try await server.chat(TestServer.question("x", ["response_format": format]))
            #expect(response.status == 400 && response.errorMessage != nil, "\(schema)")
        }
        try await server.stop()
    }

    @Test func requiredToolsAreCalled() async throws {
        let server = try await TestServer()
        for choice in ["required", ["type": "function", "function": ["name": "look_at"]]] as [Any] {
            let question = try TestServer.question(
                "Look", maxTokens: 400,
                ["tools": [Self.tool], "tool_choice": choice, "temperature": 1, "seed": 4])
            let response = try await server.chat(question)
            let message = ((response.json()["choices"] as? [[String: Any]])?.first?["message"]) as? [String: Any]
            let call = (message?["tool_calls"] as? [[String: Any]])?.first
            let function = call?["function"] as? [String: Any]
            #expect(function?["name"] as? String == "look_at", "\(response.text)")
            try check(function?["arguments"] as? String, "call")
            #expect(
                ((response.json()["choices"] as? [[String: Any]])?.first?["finish_reason"]) as? String == "tool_calls")

            let streamed = try await server.chat(question.merging(["stream": true]) { $1 })
            let deltas = streamed.events.flatMap { $0["choices"] as? [[String: Any]] ?? [] }
                .compactMap { $0["delta"] as? [String: Any] }
            let calls = deltas.flatMap { $0["tool_calls"] as? [[String: Any]] ?? [] }
            #expect(calls.count == 1 && calls.first?["index"] as? Int == 0)
            let same = (calls.first?["function"] as? [String: Any])?["arguments"] as? String
            #expect(same == function?["arguments"] as? String)
            // A conversation that goes on with the call and what came of it.
            let history: [[String: Any]] = [
                ["role": "user", "content": "Look"],
                ["role": "assistant", "content": NSNull(), "tool_calls": [call ?? [:]]],
                ["role": "tool", "tool_call_id": "x", "content": "Nothing there."],
            ]
            let next = try await server.chat(["messages": history, "max_tokens": 3, "tools": [Self.tool]])
            #expect(next.status == 200, "\(next.text)")
        }
        // What the model is told of tools.
        let seen = try await server.post(
            "/tokenize", ["messages": [["role": "user", "content": "Look"]], "tools": [Self.tool]])
        let prompt = seen.json()["prompt"] as? String ?? ""
        #expect(prompt.contains("<tools>") && prompt.contains("\"look_at\"") && prompt.contains("<tool_call>"))
        try await server.stop()
    }
}
