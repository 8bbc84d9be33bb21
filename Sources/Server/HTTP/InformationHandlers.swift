internal import Hummingbird
internal import Models
internal import Serving
internal import Text

/// Everything that only tells.
extension Handlers {
    private var model: OrderedJSON {
        let facts = engine.facts, processor = engine.processor
        var model: OrderedJSON = [
            "id": .string(options.modelName), "object": "model", "created": .int(started), "owned_by": "omma",
            "max_model_len": .int(facts.contextLength), "parameters": .int(facts.parameters),
            "device": .string(facts.device), "sees": .bool(processor.pixelLimits != nil),
        ]
        if let limits = processor.pixelLimits {
            model = model.with("min_pixels", .int(limits.lowerBound)).with("max_pixels", .int(limits.upperBound))
        }
        return model
    }

    /// `GET /v1/models`
    func models(_ request: Request) async throws -> Response { .json(["object": "list", "data": [model]]) }

    /// `GET /v1/models/{model}`
    func model(_ request: Request) async throws -> Response {
        let name = request.uri.path.dropFirst("/v1/models/".count)
        guard name.removingURLPercentEncoding() == options.modelName else {
            throw APIError.notFound(
                "there is no such model; this server has '\(options.modelName)'", code: "model_not_found")
        }
        return .json(model)
    }

    /// `GET /health`: whether the process lives; the only route that needs no key.
    func health(_ request: Request) async throws -> Response { .json(["status": "ok"]) }

    /// `GET /ready`: whether requests are taken.
    func ready(_ request: Request) async throws -> Response {
        if admission.isClosed { throw EngineError.shuttingDown }
        return .json(["status": "ready"])
    }

    /// `GET /metrics`
    func metricsText(_ request: Request) async throws -> Response {
        .text(metrics.text(engine.statistics, admission), type: "text/plain; version=0.0.4; charset=utf-8")
    }

    /// `POST /tokenize`: of a text, or of messages as the model gets them.
    func tokenize(_ request: Request) async throws -> Response {
        let ticket = try admission.enter()
        var request = request
        let object = try await json(&request)
        try object.allow(["model", "prompt", "messages", "tools"])
        let prompt: ProcessedSequence
        if let text = try object.string("prompt") {
            guard object.value("messages") == nil else { throw object.failure("messages", "stands beside prompt") }
            prompt = try preparer.prepare(text: text)
        } else {
            let tools = try ToolChoice(object)
            let messages = ToolPrompt.adding(
                tools.tools, to: try await MessageReader.messages(object, addresses))
            let measure = try preparer.measure(messages, maxTokens: 0, answers: 0)
            try await ticket.reserve(bytes: measure.bytes)
            prompt = try await preparer.prepare(messages)
        }
        withExtendedLifetime(ticket) {}
        let items = prompt.items.map { item -> OrderedJSON in
            var json: OrderedJSON = [
                "width": .int(item.originalWidth), "height": .int(item.originalHeight), "tokens": .int(item.tokenCount),
            ]
            switch item.layout {
            case .patches(let grid):
                json = json.with("grid", [.int(grid.time), .int(grid.height), .int(grid.width)])
            case .tiles(let grid):
                json = json.with(
                    "tiles",
                    [
                        "columns": .int(grid.columns), "rows": .int(grid.rows),
                        "has_thumbnail": .bool(grid.hasThumbnail),
                    ])
            }
            return json
        }
        return .json([
            "tokens": .array(prompt.ids.map { .int(Int($0)) }), "count": .int(prompt.rows.count),
            "max_model_len": .int(engine.facts.contextLength), "prompt": .string(prompt.promptText),
            "images": .array(items), "image_tokens": .int(prompt.imageTokenCount),
        ])
    }

    /// `POST /detokenize`
    func detokenize(_ request: Request) async throws -> Response {
        let ticket = try admission.enter()
        var request = request
        let object = try await json(&request)
        try object.allow(["model", "tokens"])
        guard let elements = try object.array("tokens", atMost: engine.facts.contextLength) else {
            throw object.failure("tokens", "is required")
        }
        let ids = elements.compactMap { element -> Int32? in
            if case .int(let id) = element { Int32(exactly: id) } else { nil }
        }
        guard ids.count == elements.count else { throw object.failure("tokens", "must hold token ids") }
        withExtendedLifetime(ticket) {}
        do {
            return .json(["prompt": .string(try engine.processor.tokenizer.decode(ids))])
        } catch { throw object.failure("tokens", "holds an id that no token has: \(error)") }
    }
}

extension Substring {
    /// The text with `%2F` and the like resolved; as it is where that makes no sense.
    func removingURLPercentEncoding() -> String {
        var bytes: [UInt8] = [], rest = utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
