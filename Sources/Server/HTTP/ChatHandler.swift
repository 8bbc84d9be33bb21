internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Inference
internal import Models
internal import Serving
internal import Text

extension Handlers {
    /// `POST /v1/chat/completions`
    func chat(_ request: Request) async throws -> Response {
        let ticket = try admission.enter(), deadline = deadline()
        var request = request
        let object = try await json(&request), reader = samplingReader
        let chat = try await ChatRequest(object, reader, addresses)
        let measure = try preparer.measure(
            chat.messages, maxTokens: reader.askedTokens(object) ?? options.defaultMaxTokens,
            answers: chat.sampling.answers)
        let constraint = try constraint(chat.format)
        let begin = { @Sendable () async throws -> ChatAnswers in
            try await ticket.reserve(bytes: measure.bytes)
            let prompt = try await preparer.prepare(chat.messages)
            let maxTokens = try reader.maxTokens(object, prompt: prompt.rows.count)
            let requests = engineRequests(chat, constraint, prompt, maxTokens: maxTokens, deadline: deadline)
            return ChatAnswers(
                streams: requests.map(engine.submit), items: prompt.items, hasTools: chat.hasTools,
                wantsScores: chat.alternatives != nil, ticket: ticket,
                objects: ChatObjects(
                    id: newID("chatcmpl"), created: Int(Date().timeIntervalSince1970), model: options.modelName,
                    tokenizer: engine.processor.tokenizer))
        }
        if chat.sampling.streams {
            let answers = try await begin()
            return stream(answers, request, usage: chat.sampling.includesUsage)
        }
        return .json(try await request.whileConnected { try await whole(begin()) })
    }

    private func engineRequests(
        _ chat: ChatRequest, _ constraint: (any TokenConstraint)?, _ prompt: ProcessedSequence, maxTokens: Int,
        deadline: ContinuousClock.Instant
    ) -> [EngineRequest] {
        let group = UInt64.random(in: 0...UInt64.max)
        return (0..<chat.sampling.answers).map { index in
            var sampling = chat.sampling.sampling
            sampling.seed &+= UInt64(index)
            var request = EngineRequest(
                prompt: prompt, maxTokens: maxTokens, sampling: sampling, stopTokens: engine.processor.stopTokens,
                stopTexts: chat.sampling.stops, logitBias: chat.sampling.bias, alternatives: chat.alternatives,
                constraint: constraint, deadline: deadline)
            request.promptGroup = group
            request.presencePenalty = chat.sampling.presencePenalty
            request.frequencyPenalty = chat.sampling.frequencyPenalty
            return request
        }
    }

    /// The answers in one piece.
    private func whole(_ answers: ChatAnswers) async throws -> OrderedJSON {
        var parts = answers.streams.map { _ in AnswerParts() }
        do {
            for try await (index, events) in MergedAnswers(streams: answers.streams) {
                for event in events { parts[index].take(event) }
            }
        } catch {
            log(error)
            throw error
        }
        let summaries = parts.compactMap(\.summary)
        guard summaries.count == parts.count else { throw CancellationError() }
        summaries.forEach(note)
        let choices = parts.enumerated().map { index, part -> OrderedJSON in
            var content = part.text, calls: [OrderedJSON] = []
            if answers.hasTools {
                var tools = ToolCallReader()
                let (first, early) = tools.push(part.text), (rest, late) = tools.finish()
                content = first + rest
                calls = (early + late).enumerated().map {
                    answers.objects.call($0.element, number: $0.offset, answer: index, isDelta: false)
                }
                if !calls.isEmpty { content = content.trimmingCharacters(in: .whitespacesAndNewlines) }
            }
            return answers.objects.choice(
                index, content: content, calls: calls, boxes: Grounding.boxes(summaries[index], answers.items),
                logprobs: answers.wantsScores ? part.tokens : nil,
                finish: calls.isEmpty ? summaries[index].finishReason.word : "tool_calls")
        }
        return answers.objects.completion(choices, usage: ChatObjects.usage(summaries))
    }

    /// The answers as they come.
    private func stream(_ answers: ChatAnswers, _ request: Request, usage: Bool) -> Response {
        Response(
            status: .ok, headers: Self.eventStreamHeaders,
            body: ResponseBody { writer in
                let events = EventWriter(writer)
                try await request.whileConnected {
                    var events = events
                    try await write(answers, usage: usage, to: &events)
                    try await events.finish()
                }
            })
    }

    static let eventStreamHeaders: HTTPFields = [
        .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache", .xAccelBuffering: "no",
    ]

    private func write(_ answers: ChatAnswers, usage: Bool, to events: inout EventWriter) async throws {
        let objects = answers.objects
        var summaries: [AnswerSummary] = []
        var streams = answers.streams.indices.map { ChatChunks($0, objects, answers) }
        for index in answers.streams.indices {
            events.add(objects.chunk([objects.delta(index, ["role": "assistant", "content": ""])]))
        }
        // That the answer has begun is told before its first token is there.
        try await events.send()
        do {
            for try await (index, new) in MergedAnswers(streams: answers.streams) {
                for event in new {
                    streams[index].add(event, to: &events)
                    guard case .end(let summary) = event else { continue }
                    note(summary)
                    summaries.append(summary)
                }
                try await events.send()
            }
            if usage { events.add(objects.chunk([], usage: ChatObjects.usage(summaries))) }
        } catch let error as EngineError {
            // The status is long gone; clients know an event with an error.
            log(error)
            events.add(APIError(error).json)
        }
        events.add("[DONE]")
        try await events.send()
    }
}

/// The chunks of one answer.
private struct ChatChunks {
    private let index: Int
    private let objects: ChatObjects
    private let items: [VisualItem]
    private let wantsScores: Bool
    private var tools: ToolCallReader?
    private var calls = 0

    init(_ index: Int, _ objects: ChatObjects, _ answers: ChatAnswers) {
        self.index = index
        self.objects = objects
        items = answers.items
        wantsScores = answers.wantsScores
        tools = answers.hasTools ? ToolCallReader() : nil
    }

    mutating func add(_ event: AnswerEvent, to events: inout EventWriter) {
        switch event {
        case .token(let token): add(tools?.push(token.text) ?? (token.text, []), token, to: &events)
        case .end(let summary):
            var (text, found) = tools?.push(summary.restText) ?? (summary.restText, [])
            if let rest = tools?.finish() {
                text += rest.content
                found += rest.calls
            }
            add((text, found), nil, to: &events)
            var delta: OrderedJSON = [:]
            if let boxes = Grounding.boxes(summary, items) { delta = ["boxes": boxes] }
            let finish = calls > 0 ? "tool_calls" : summary.finishReason.word
            events.add(objects.chunk([objects.delta(index, delta, finish: finish)]))
        }
    }

    private mutating func add(
        _ piece: (content: String, calls: [ToolCallReader.Call]), _ token: AnswerToken?, to events: inout EventWriter
    ) {
        for call in piece.calls {
            let json = objects.call(call, number: calls, answer: index, isDelta: true)
            calls += 1
            events.add(objects.chunk([objects.delta(index, ["tool_calls": [json]])]))
        }
        if piece.content.isEmpty, !wantsScores || token == nil { return }
        let scores = wantsScores ? token.map { [$0] } ?? [] : nil
        events.add(objects.chunk([objects.delta(index, ["content": .string(piece.content)], logprobs: scores)]))
    }
}

extension HTTPField.Name {
    /// Tells proxies to pass events on as they come.
    static let xAccelBuffering = HTTPField.Name("X-Accel-Buffering") ?? .cacheControl
}

/// Answers on their way, with all that must live as long.
struct ChatAnswers: Sendable {
    var streams: [AnswerStream]
    var items: [VisualItem]
    var hasTools: Bool
    var wantsScores: Bool
    /// The request's place; given back with the last reference.
    var ticket: Admission.Ticket
    var objects: ChatObjects
}

/// An answer put together from its events.
struct AnswerParts {
    var text = ""
    var tokens: [AnswerToken] = []
    var summary: AnswerSummary?

    mutating func take(_ event: AnswerEvent) {
        switch event {
        case .token(let token):
            text += token.text
            tokens.append(token)
        case .end(let summary):
            text += summary.restText
            self.summary = summary
        }
    }
}
