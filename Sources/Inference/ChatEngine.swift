public import Models
public import Torch

/// What a model said to a conversation.
public struct ChatAnswer: Sendable {
    /// The words, without special tokens.
    public var text = ""
    /// The words with the marks around places in a picture: what the conversation goes on with.
    public var markedText = ""
    /// The tokens and what they took; the time to the first one includes reading the pictures into patches.
    public var generation: GenerationResult
}

/// A checkpoint that answers conversations. All calls belong on one thread.
public final class ChatEngine {
    public let folder: ModelFolder
    public let processor: any ConversationProcessor
    public let generator: Generator
    /// Where the weights are.
    public let device: Device

    /// Loads the weights of a folder.
    ///
    /// - Parameters:
    ///   - processor: in place of the folder's own.
    ///   - dtype: nil keeps the stored one.
    public init(
        _ folder: ModelFolder, processor: (any ConversationProcessor)? = nil, dtype: DType? = nil,
        device: Device = .cpu
    ) throws {
        self.folder = folder
        self.device = device
        self.processor = processor ?? folder.processor
        generator = Generator(try folder.loadModel(dtype: dtype, device: device))
    }

    /// Answers a conversation that ends with the user's message.
    ///
    /// - Parameter onText: gets the words as they become certain; false ends the answer. Called with an empty text for
    ///   tokens that complete no character.
    /// - Throws: `ProcessingError` for conversations that the model cannot take, `GenerationError`, `TorchError`.
    public func answer(
        _ conversation: Conversation, maxTokens: Int, sampling: SamplingOptions,
        onText: (String) throws -> Bool = { _ in true }
    ) throws -> ChatAnswer {
        let start = ContinuousClock.now
        let sequence = try processor.process(conversation, ProcessingOptions())
        let processing = (ContinuousClock.now - start).seconds
        var words = TextStream(processor.tokenizer, skipSpecialTokens: true)
        var marked = TextStream(processor.tokenizer, skipSpecialTokens: false)
        let options = GenerationOptions(
            maxTokens: maxTokens, sampling: sampling, stopTokens: processor.stopTokens)
        var result = try generator.generate(sequence, options) { token in
            try marked.push(token)
            return try onText(words.push(token))
        }
        let rest = try words.finish()
        try marked.finish()
        if !rest.isEmpty { _ = try onText(rest) }
        result.secondsToFirstToken += processing
        return ChatAnswer(text: words.text, markedText: marked.text, generation: result)
    }
}
