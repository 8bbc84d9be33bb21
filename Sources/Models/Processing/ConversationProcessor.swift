public import Text

/// How a conversation is to be rendered.
public struct ProcessingOptions: Sendable {
    /// Ends the prompt where the assistant's answer begins.
    public var addGenerationPrompt: Bool
    /// Further variables of the template, such as `add_vision_id`.
    public var templateVariables: [String: Bool]
    /// Writes the messages one after another without roles, as pre-training data have it; not every model has the choice.
    public var isRaw: Bool

    /// Names of the conversation's pictures, for models that write them into the sequence (Qwen-VL). They change
    /// nothing but the ids in whose places features stand.
    public var pictureNames: [String]

    public init(
        addGenerationPrompt: Bool = true, templateVariables: [String: Bool] = [:], isRaw: Bool = false,
        pictureNames: [String] = []
    ) {
        self.addGenerationPrompt = addGenerationPrompt
        self.templateVariables = templateVariables
        self.isRaw = isRaw
        self.pictureNames = pictureNames
    }

    /// Whole conversations with answers, as training reads them.
    public static let training = ProcessingOptions(addGenerationPrompt: false)
}

/// Turns conversations into what the model takes. Training and answering use the same one.
public protocol ConversationProcessor: Sendable {
    var tokenizer: Tokenizer { get }
    /// Ids at which an answer ends.
    var stopTokens: Set<Int32> { get }

    /// Renders, tokenises, cuts pictures into patches, places them, and marks the answers' tokens as supervised.
    /// Throws `ProcessingError` and the errors of tokenizer, template and pictures.
    func process(_ conversation: Conversation, _ options: ProcessingOptions) throws -> ProcessedSequence

    /// Tokens that a picture of this size takes, known before it is decoded.
    func imageTokenCount(width: Int, height: Int) throws -> Int

    /// How pictures are resized and cut up; nil in a text model.
    var visionPolicy: (any ImagePolicy)? { get }

    /// The pixels that a picture has once it is resized; nil where the model has no such choice, or sees nothing.
    var pixelLimits: ClosedRange<Int>? { get }

    /// The most tiles that a picture is cut into, without the thumbnail; nil where there is no such choice.
    var maxTiles: Int? { get }

    /// Which frames of a video the model sees; nil where it takes no videos.
    var videoSampling: VideoSampling? { get }

    /// The same processor with other limits of pixels, of pictures and of frames.
    ///
    /// - Throws: `ProcessingError.unsupported` where the model has no such choice or the limits contradict each other.
    func limitingPixels(min: Int?, max: Int?) throws -> any ConversationProcessor

    /// The same processor with another limit of tiles.
    ///
    /// - Throws: `ProcessingError.unsupported` where the model has no such choice.
    func limitingTiles(_ max: Int) throws -> any ConversationProcessor
}

extension ConversationProcessor {
    public var pixelLimits: ClosedRange<Int>? { nil }
    public var maxTiles: Int? { nil }
    public var videoSampling: VideoSampling? { nil }

    public func limitingPixels(min: Int?, max: Int?) throws -> any ConversationProcessor {
        guard min != nil || max != nil else { return self }
        throw ProcessingError.unsupported("this model's pictures have a fixed size; leave out the limits of pixels")
    }

    public func limitingTiles(_ max: Int) throws -> any ConversationProcessor {
        throw ProcessingError.unsupported("this model does not cut pictures into tiles; leave out their limit")
    }
}
