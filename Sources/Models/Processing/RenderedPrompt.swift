import Text

/// A conversation rendered by its chat template, with every piece of text traced to its message.
struct RenderedPrompt {
    let text: TaggedText
    /// For each number that data carries, whether an assistant wrote it.
    private let isAssistant: [Bool]

    /// Renders `conversation`. Text of messages is data: it can never become a special token.
    init(
        _ conversation: Conversation, template: ChatTemplate, tokenizer: Tokenizer, _ options: ProcessingOptions
    ) throws {
        let isAssistant = conversation.map { $0.role == .assistant }
        let messages = conversation.enumerated().map { index, message in
            TemplateValue.dictionary([
                "role": .string(message.role.rawValue),
                "content": Self.content(message) { Self.tagged($0, message: index, role: message.role) },
            ])
        }
        var context: [(String, TemplateValue)] = [
            ("messages", .list(messages)), ("add_generation_prompt", .bool(options.addGenerationPrompt)),
        ]
        for (name, token) in [
            ("bos_token", tokenizer.specialTokens.bos), ("eos_token", tokenizer.specialTokens.eos),
            ("pad_token", tokenizer.specialTokens.pad),
        ] {
            if let token, let text = tokenizer.token(for: token) { context.append((name, .string(text))) }
        }
        for (name, value) in options.templateVariables.sorted(by: { $0.key < $1.key }) {
            context.append((name, .bool(value)))
        }
        text = try template.render(TemplateDictionary(context)).text
        self.isAssistant = isAssistant
    }

    /// Messages of text alone are strings, as templates of text models expect; others are lists of parts.
    private static func content(_ message: Message, _ tagged: (String) -> TaggedText) -> TemplateValue {
        let hasMedia = message.parts.contains { if case .text = $0 { false } else { true } }
        guard hasMedia else { return .string(tagged(message.text)) }
        return .list(
            message.parts.map { part in
                switch part {
                case .text(let text):
                    .dictionary(["type": "text", "text": .string(tagged(text))])
                case .image: .dictionary(["type": "image", "image": "image"])
                case .video: .dictionary(["type": "video", "video": "video"])
                }
            })
    }

    /// The marks around places in a picture, which models of this family write as special tokens.
    private static let groundingMarks = [
        "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>",
    ]

    private static func tagged(_ text: String, message: Int, role: Role) -> TaggedText {
        TaggedText(text, of: message, role, marks: groundingMarks)
    }

    /// Which tokens the loss counts.
    func supervised(_ tokens: [TaggedToken], stopTokens: Set<Int32>) -> [Bool] {
        supervisedTokens(tokens, isAssistant: isAssistant, stopTokens: stopTokens)
    }
}
