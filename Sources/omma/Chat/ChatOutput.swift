import Inference

/// What `omma chat --json` prints.
struct ChatOutput: Encodable {
    var text: String
    var finishReason: FinishReason
    var promptTokens: Int
    var imageTokens: Int
    var completionTokens: Int
    var secondsToFirstToken: Double
    /// Null for answers too short to tell.
    var tokensPerSecond: Double?

    enum CodingKeys: String, CodingKey {
        case text
        case finishReason = "finish_reason"
        case promptTokens = "prompt_tokens"
        case imageTokens = "image_tokens"
        case completionTokens = "completion_tokens"
        case secondsToFirstToken = "seconds_to_first_token"
        case tokensPerSecond = "tokens_per_second"
    }

    init(_ answer: ChatAnswer) {
        let generation = answer.generation
        text = answer.text
        finishReason = generation.finishReason
        promptTokens = generation.promptTokens
        imageTokens = generation.imageTokens
        completionTokens = generation.tokens.count
        secondsToFirstToken = generation.secondsToFirstToken
        tokensPerSecond = generation.tokensPerSecond
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(text, forKey: .text)
        try container.encode(finishReason, forKey: .finishReason)
        try container.encode(promptTokens, forKey: .promptTokens)
        try container.encode(imageTokens, forKey: .imageTokens)
        try container.encode(completionTokens, forKey: .completionTokens)
        try container.encode(secondsToFirstToken, forKey: .secondsToFirstToken)
        // Said, not left out: readers need not ask whether the field is there.
        try container.encode(tokensPerSecond, forKey: .tokensPerSecond)
    }
}
