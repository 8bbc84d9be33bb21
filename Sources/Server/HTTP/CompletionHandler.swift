internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Inference
internal import Models
internal import Serving
internal import Text

extension Handlers {
    private static let completionFields: Set<String> = SamplingReader.fields.union([
        "prompt", "echo", "logprobs", "best_of", "suffix",
    ])

    /// `POST /v1/completions`: goes on with a text, without a template.
    func complete(_ request: Request) async throws -> Response {
        let ticket = try admission.enter(), deadline = deadline()
        var request = request
        let object = try await json(&request), reader = samplingReader
        try object.allow(Self.completionFields)
        let sampling = try reader.read(object)
        for field in ["suffix", "best_of"] where object.value(field) != nil && object.value(field) != .int(1) {
            throw object.failure(field, "is not supported")
        }
        if try object.flag("echo") == true { throw object.failure("echo", "is not supported") }
        let alternatives = try object.integer("logprobs", in: 0...20)
        let prompt = try completionPrompt(object)
        let maxTokens = try reader.askedTokens(object) ?? 16
        guard prompt.rows.count < engine.facts.contextLength else {
            throw APIError.invalid(
                "the prompt has \(prompt.rows.count) tokens, which fills the model's \(engine.facts.contextLength)",
                "prompt", code: "context_length_exceeded")
        }
        let bytes = (prompt.rows.count + maxTokens) * engine.facts.cacheBytesPerToken * 2 * sampling.answers
        let group = UInt64.random(in: 0...UInt64.max)
        let requests = (0..<sampling.answers).map { index in
            var chosen = sampling.sampling
            chosen.seed &+= UInt64(index)
            var request = EngineRequest(
                prompt: prompt, maxTokens: maxTokens, sampling: chosen, stopTokens: engine.processor.stopTokens,
                stopTexts: sampling.stops, logitBias: sampling.bias, alternatives: alternatives, deadline: deadline)
            request.promptGroup = group
            request.presencePenalty = sampling.presencePenalty
            request.frequencyPenalty = sampling.frequencyPenalty
            return request
        }
        let id = newID("cmpl"), created = Int(Date().timeIntervalSince1970)
        let connection = request
        if sampling.streams {
            try await ticket.reserve(bytes: bytes)
            let streams = requests.map(engine.submit)
            return Response(
                status: .ok, headers: Self.eventStreamHeaders,
                body: ResponseBody { writer in
                    let events = EventWriter(writer)
                    try await connection.whileConnected {
                        var events = events
                        try await write(
                            streams, id: id, created: created, hasScores: alternatives != nil,
                            usage: sampling.includesUsage, to: &events)
                        try await events.finish()
                        withExtendedLifetime(ticket) {}
                    }
                })
        }
        return try await connection.whileConnected {
            try await ticket.reserve(bytes: bytes)
            var parts = requests.map { _ in AnswerParts() }
            for try await (index, events) in MergedAnswers(streams: requests.map(engine.submit)) {
                for event in events { parts[index].take(event) }
            }
            let summaries = parts.compactMap(\.summary)
            summaries.forEach(note)
            withExtendedLifetime(ticket) {}
            let choices = parts.enumerated().map { index, part in
                completionChoice(
                    index, part.text, alternatives == nil ? nil : part.tokens,
                    finish: part.summary?.finishReason.word ?? "stop")
            }
            return .json(completionObject(id, created, choices).with("usage", ChatObjects.usage(summaries)))
        }
    }

    private func completionPrompt(_ object: RequestObject) throws -> ProcessedSequence {
        switch object.value("prompt") {
        case .string(let text): return try preparer.prepare(text: text)
        case .array(let elements) where elements.count == 1:
            if case .string(let text) = elements[0] { return try preparer.prepare(text: text) }
            fallthrough
        case .array(let elements):
            let ids = elements.compactMap { element -> Int32? in
                if case .int(let id) = element { Int32(exactly: id) } else { nil }
            }
            guard ids.count == elements.count, !ids.isEmpty else {
                throw object.failure("prompt", "must be one text, or one array of token ids")
            }
            return try preparer.prepare(ids: ids)
        default: throw object.failure("prompt", "must be one text, or one array of token ids")
        }
    }

    private func completionObject(_ id: String, _ created: Int, _ choices: [OrderedJSON]) -> OrderedJSON {
        [
            "id": .string(id), "object": "text_completion", "created": .int(created),
            "model": .string(options.modelName), "choices": .array(choices), "system_fingerprint": nil,
        ]
    }

    private func completionChoice(
        _ index: Int, _ text: String, _ tokens: [AnswerToken]?, finish: String?
    ) -> OrderedJSON {
        [
            "index": .int(index), "text": .string(text), "logprobs": tokens.map(completionScores) ?? nil,
            "finish_reason": OrderedJSON(finish),
        ]
    }

    private func completionScores(_ tokens: [AnswerToken]) -> OrderedJSON {
        func text(_ id: Int32) -> String { (try? engine.processor.tokenizer.decode([id])) ?? "" }
        func value(_ score: TokenScore?) -> OrderedJSON { .double(Double(max(score?.logProbability ?? 0, -9999))) }
        var offset = 0
        return [
            "tokens": .array(tokens.map { .string(text($0.id)) }),
            "token_logprobs": .array(tokens.map { value($0.score) }),
            "top_logprobs": .array(
                tokens.map { token in
                    var members: [OrderedJSON.Member] = []
                    for score in token.alternatives where !members.contains(where: { $0.key == text(score.id) }) {
                        members.append(.init(key: text(score.id), value: value(score)))
                    }
                    return .object(members)
                }),
            "text_offset": .array(
                tokens.map { token in
                    defer { offset += token.text.unicodeScalars.count }
                    return .int(offset)
                }),
        ]
    }

    private func write(
        _ streams: [AnswerStream], id: String, created: Int, hasScores: Bool, usage: Bool, to events: inout EventWriter
    ) async throws {
        var summaries: [AnswerSummary] = []
        do {
            for try await (index, new) in MergedAnswers(streams: streams) {
                for event in new {
                    switch event {
                    case .token(let token):
                        if token.text.isEmpty, !hasScores { continue }
                        let choice = completionChoice(index, token.text, hasScores ? [token] : nil, finish: nil)
                        events.add(completionObject(id, created, [choice]))
                    case .end(let summary):
                        note(summary)
                        summaries.append(summary)
                        let choice = completionChoice(index, summary.restText, nil, finish: summary.finishReason.word)
                        events.add(completionObject(id, created, [choice]))
                    }
                }
                try await events.send()
            }
            if usage {
                events.add(completionObject(id, created, []).with("usage", ChatObjects.usage(summaries)))
            }
        } catch let error as EngineError {
            log(error)
            events.add(APIError(error).json)
        }
        events.add("[DONE]")
        try await events.send()
    }
}
