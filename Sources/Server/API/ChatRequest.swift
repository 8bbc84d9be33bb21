internal import Inference
internal import Serving
internal import Text

/// A chat request, read and checked.
struct ChatRequest {
    var messages: [EncodedMessage]
    var sampling: SamplingReader.Result
    /// Alternatives that come with each token; nil for no log-probabilities.
    var alternatives: Int?
    /// Whether calls of tools are looked for in the answer.
    var hasTools: Bool
    var format: AnswerFormat

    private static let fields: Set<String> = SamplingReader.fields.union([
        "messages", "max_completion_tokens", "logprobs", "top_logprobs", "response_format", "tools", "tool_choice",
        "parallel_tool_calls", "modalities", "reasoning_effort", "verbosity",
    ])

    init(_ request: RequestObject, _ reader: SamplingReader, _ addresses: PictureAddresses) async throws {
        try request.allow(Self.fields)
        sampling = try reader.read(request)
        for modality in try request.array("modalities", atMost: 4) ?? [] where modality != "text" {
            throw request.failure("modalities", "must be [\"text\"]")
        }
        let wantsScores = try request.flag("logprobs") ?? false
        let count = try request.integer("top_logprobs", in: 0...20)
        if count != nil, !wantsScores { throw request.failure("top_logprobs", "needs logprobs to be true") }
        alternatives = wantsScores ? count ?? 0 : nil
        let tools = try ToolChoice(request)
        hasTools = tools.isOpen
        format = try AnswerFormat(request, tools)
        messages = ToolPrompt.adding(
            tools.isOpen ? tools.tools : [], to: try await MessageReader.messages(request, addresses))
    }
}

/// The tools of a request, and whether the model may, must or must not call them.
struct ToolChoice {
    enum Rule: Equatable {
        case none
        case auto
        /// One of these must be called.
        case required([String])
    }

    var tools: [OrderedJSON] = []
    /// Schemas of the tools' arguments, by name.
    var parameters: [(name: String, schema: OrderedJSON)] = []
    var rule = Rule.none

    /// Whether the model is told of the tools.
    var isOpen: Bool { rule != .none && !tools.isEmpty }

    init(_ request: RequestObject) throws(APIError) {
        for (index, element) in try request.array("tools", atMost: 128)?.enumerated() ?? [].enumerated() {
            let tool = try RequestObject(element, path: "tools[\(index)]")
            guard try tool.requiredString("type") == "function" else { throw tool.failure("type", "must be function") }
            guard let function = try tool.object("function") else { throw tool.failure("function", "is required") }
            try function.allow(["name", "description", "parameters", "strict"])
            let name = try function.requiredString("name")
            guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy(Self.isNameByte) else {
                throw function.failure("name", "must be 1 to 64 letters, digits, _ or -")
            }
            guard !parameters.contains(where: { $0.name == name }) else {
                throw function.failure("name", "is there twice")
            }
            _ = try function.string("description")
            _ = try function.object("parameters")
            parameters.append((name, function.value("parameters") ?? ["type": "object", "properties": [:]]))
            tools.append(element)
        }
        rule = tools.isEmpty ? .none : .auto
        guard let choice = request.value("tool_choice") else { return }
        switch choice {
        case "none": rule = .none
        case "auto": break
        case "required" where !tools.isEmpty: rule = .required(parameters.map(\.name))
        case .object:
            let object = try RequestObject(choice, path: "tool_choice")
            guard try object.requiredString("type") == "function", let function = try object.object("function") else {
                throw object.failure("type", "must be function")
            }
            let name = try function.requiredString("name")
            guard parameters.contains(where: { $0.name == name }) else {
                throw function.failure("name", "is none of the tools")
            }
            rule = .required([name])
        default:
            throw request.failure("tool_choice", "must be none, auto, required (with tools) or a function of the tools")
        }
        if !tools.isEmpty { _ = try request.flag("parallel_tool_calls") }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
