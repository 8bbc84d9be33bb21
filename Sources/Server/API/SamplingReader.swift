internal import Inference
internal import Models
internal import Serving
internal import Text

/// The fields about sampling that chat and plain completions share.
struct SamplingReader {
    let options: ServerOptions
    let facts: EngineFacts
    let generation: GenerationDefaults

    static let fields: Set<String> = [
        "model", "temperature", "top_p", "top_k", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed",
        "stop", "n", "logit_bias", "stream", "stream_options", "user", "max_tokens", "metadata", "store",
        "service_tier", "safety_identifier", "prompt_cache_key",
    ]

    struct Result {
        var sampling: SamplingOptions
        var stops: [String]
        var bias: [Int32: Float]
        var answers: Int
        var streams: Bool
        var includesUsage: Bool
        var presencePenalty: Float
        var frequencyPenalty: Float
    }

    func read(_ request: RequestObject) throws(APIError) -> Result {
        if let model = try request.string("model"), model != options.modelName {
            throw .notFound(
                "there is no model '\(model.prefix(100))'; this server has '\(options.modelName)'",
                code: "model_not_found")
        }
        var sampling = SamplingOptions(generation)
        // Some checkpoints recommend a choice among one, under which a temperature would change nothing: who names one
        // gets OpenAI's defaults for the rest.
        if request.value("temperature") != nil || request.value("top_p") != nil {
            sampling = SamplingOptions(temperature: 1, repetitionPenalty: generation.repetitionPenalty)
        }
        if let temperature = try request.number("temperature", in: 0...2) { sampling.temperature = temperature }
        if let topP = try request.number("top_p", in: 0...1) { sampling.topP = max(topP, 1e-9) }
        if let topK = try request.integer("top_k", in: -1...1_000_000) { sampling.topK = max(0, topK) }
        if let penalty = try request.number("repetition_penalty", in: 0.01...100) {
            sampling.repetitionPenalty = penalty
        }
        // Without a seed, every answer has its own.
        let seed = try request.integer("seed", in: Int.min...Int.max)
        sampling.seed = seed.map { UInt64(bitPattern: Int64($0)) } ?? UInt64.random(in: 0...UInt64.max)
        let stream = try request.object("stream_options")
        try stream?.allow(["include_usage", "include_obfuscation"])
        let streams = try request.flag("stream") ?? false
        if stream != nil, !streams { throw request.failure("stream_options", "needs stream to be true") }
        return Result(
            sampling: sampling, stops: try stops(request), bias: try bias(request),
            answers: try request.integer("n", in: 1...options.maxAnswers) ?? 1, streams: streams,
            includesUsage: try stream?.flag("include_usage") ?? false,
            presencePenalty: Float(try request.number("presence_penalty", in: -2...2) ?? 0),
            frequencyPenalty: Float(try request.number("frequency_penalty", in: -2...2) ?? 0))
    }

    private func stops(_ request: RequestObject) throws(APIError) -> [String] {
        guard let value = request.value("stop") else { return [] }
        let elements: [OrderedJSON]
        switch value {
        case .string: elements = [value]
        case .array(let array): elements = array
        default: throw request.failure("stop", "must be a string or an array of strings")
        }
        guard elements.count <= 16 else { throw request.failure("stop", "has more than 16 texts") }
        var stops: [String] = []
        for element in elements {
            guard case .string(let text) = element, !text.isEmpty, text.utf8.count <= 512 else {
                throw request.failure("stop", "must hold texts of 1 to 512 bytes")
            }
            stops.append(text)
        }
        return stops
    }

    private func bias(_ request: RequestObject) throws(APIError) -> [Int32: Float] {
        var bias: [Int32: Float] = [:]
        for member in try request.entries("logit_bias", atMost: 1024) ?? [] {
            guard let id = Int32(member.key), id >= 0, Int(id) < facts.vocabularySize else {
                throw request.failure(
                    "logit_bias", "must map token ids from 0 to \(facts.vocabularySize - 1) to numbers")
            }
            guard let value = member.value.number, (-100...100).contains(value) else {
                throw request.failure("logit_bias", "must hold numbers from -100 to 100")
            }
            bias[id] = Float(value)
        }
        return bias
    }

    /// The longest answer behind a prompt.
    func maxTokens(_ request: RequestObject, prompt: Int) throws(APIError) -> Int {
        let room = facts.contextLength - prompt
        let asked = try askedTokens(request)
        guard room > 0 else {
            throw .invalid(
                "the prompt has \(prompt) tokens, which fills the model's \(facts.contextLength)", "messages",
                code: "context_length_exceeded")
        }
        return min(asked ?? options.defaultMaxTokens, room)
    }

    func askedTokens(_ request: RequestObject) throws(APIError) -> Int? {
        let range = 1...1_000_000
        let count = try request.integer("max_completion_tokens", in: range)
        let old = try request.integer("max_tokens", in: range)
        return count ?? old
    }
}
