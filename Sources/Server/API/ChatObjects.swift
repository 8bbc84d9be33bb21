internal import Inference
internal import Models
internal import Serving
internal import Text

/// OpenAI's objects for answers to chats.
struct ChatObjects {
    let id: String
    let created: Int
    let model: String
    let tokenizer: Tokenizer

    func completion(_ choices: [OrderedJSON], usage: OrderedJSON) -> OrderedJSON {
        [
            "id": .string(id), "object": "chat.completion", "created": .int(created), "model": .string(model),
            "choices": .array(choices), "usage": usage, "system_fingerprint": nil, "service_tier": nil,
        ]
    }

    func chunk(_ choices: [OrderedJSON], usage: OrderedJSON? = nil) -> OrderedJSON {
        let chunk: OrderedJSON = [
            "id": .string(id), "object": "chat.completion.chunk", "created": .int(created), "model": .string(model),
            "choices": .array(choices), "system_fingerprint": nil,
        ]
        return usage.map { chunk.with("usage", $0) } ?? chunk
    }

    func delta(
        _ index: Int, _ delta: OrderedJSON, logprobs: [AnswerToken]? = nil, finish: String? = nil
    ) -> OrderedJSON {
        [
            "index": .int(index), "delta": delta, "logprobs": self.logprobs(logprobs),
            "finish_reason": OrderedJSON(finish),
        ]
    }

    func choice(
        _ index: Int, content: String, calls: [OrderedJSON], boxes: OrderedJSON?, logprobs: [AnswerToken]?,
        finish: String
    ) -> OrderedJSON {
        var message: OrderedJSON = [
            "role": "assistant", "content": calls.isEmpty || !content.isEmpty ? .string(content) : nil, "refusal": nil,
        ]
        if !calls.isEmpty { message = message.with("tool_calls", .array(calls)) }
        if let boxes { message = message.with("boxes", boxes) }
        return [
            "index": .int(index), "message": message, "logprobs": self.logprobs(logprobs),
            "finish_reason": .string(finish),
        ]
    }

    func call(_ call: ToolCallReader.Call, number: Int, answer: Int, isDelta: Bool) -> OrderedJSON {
        let object: OrderedJSON = [
            "id": .string("call_\(id.suffix(16))_\(answer)_\(number)"), "type": "function",
            "function": ["name": .string(call.name), "arguments": .string(call.arguments)],
        ]
        return isDelta ? object.with("index", .int(number)) : object
    }

    static func usage(_ summaries: [AnswerSummary]) -> OrderedJSON {
        let prompt = summaries.first?.promptTokens ?? 0
        let completion = summaries.reduce(0) { $0 + $1.completionTokens }
        return [
            "prompt_tokens": .int(prompt), "completion_tokens": .int(completion),
            "total_tokens": .int(prompt + completion),
            "prompt_tokens_details": [
                "cached_tokens": 0, "audio_tokens": 0, "image_tokens": .int(summaries.first?.imageTokens ?? 0),
            ],
        ]
    }

    private func logprobs(_ tokens: [AnswerToken]?) -> OrderedJSON {
        guard let tokens else { return nil }
        return [
            "content": .array(
                tokens.map { token in
                    scored(token.score ?? TokenScore(id: token.id, logProbability: -.infinity))
                        .with("top_logprobs", .array(token.alternatives.map(scored)))
                }), "refusal": nil,
        ]
    }

    /// JSON has no infinity: what was impossible before bias and constraints is -9999, as OpenAI writes it.
    private func scored(_ score: TokenScore) -> OrderedJSON {
        let text = (try? tokenizer.decode([score.id])) ?? ""
        return [
            "token": .string(text), "logprob": .double(Double(max(score.logProbability, -9999))),
            "bytes": .array(text.utf8.map { .int(Int($0)) }),
        ]
    }
}

extension FinishReason {
    /// OpenAI's word.
    var word: String { self == .length ? "length" : "stop" }
}
