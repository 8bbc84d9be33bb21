import Inference
import Media
import Models

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
    /// Places that the answer names, in pixels of the last picture; left out where there are none.
    var regions: [Region]?

    struct Region: Encodable {
        var name: String?
        /// `box`, `quad` or `point`.
        var shape: String
        /// Corners: left, top, right and bottom of a box; x and y of each corner of the others.
        var pixels: [Double]

        init(_ region: GroundedRegion, width: Int, height: Int) {
            name = region.name
            switch region.shape {
            case .box:
                shape = "box"
                let bounds = region.bounds(width: width, height: height)
                pixels = [bounds.x, bounds.y, bounds.maxX, bounds.maxY]
            case .quad, .point:
                if case .quad = region.shape { shape = "quad" } else { shape = "point" }
                pixels = region.corners(width: width, height: height).flatMap { [$0.x, $0.y] }
            }
        }
    }

    enum CodingKeys: String, CodingKey {
        case text
        case finishReason = "finish_reason"
        case promptTokens = "prompt_tokens"
        case imageTokens = "image_tokens"
        case completionTokens = "completion_tokens"
        case secondsToFirstToken = "seconds_to_first_token"
        case tokensPerSecond = "tokens_per_second"
        case regions
    }

    init(_ answer: ChatAnswer, _ regions: [GroundedRegion] = [], in picture: Image? = nil) {
        let generation = answer.generation
        text = answer.text
        finishReason = generation.finishReason
        promptTokens = generation.promptTokens
        imageTokens = generation.imageTokens
        completionTokens = generation.tokens.count
        secondsToFirstToken = generation.secondsToFirstToken
        tokensPerSecond = generation.tokensPerSecond
        guard let picture, !regions.isEmpty else { return }
        self.regions = regions.map { Region($0, width: picture.width, height: picture.height) }
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
        try container.encodeIfPresent(regions, forKey: .regions)
    }
}
