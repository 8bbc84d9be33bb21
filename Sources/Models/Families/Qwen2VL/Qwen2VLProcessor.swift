public import Text

/// Qwen2-VL's prompt: ChatML from the checkpoint's own template, pictures as runs of placeholder tokens between marks.
///
/// Also serves Qwen2 text models, which have no pictures and equal positions.
public struct Qwen2VLProcessor: ConversationProcessor {
    public let tokenizer: Tokenizer
    public let stopTokens: Set<Int32>
    public let template: ChatTemplate
    /// Nil in a text model.
    public let imagePolicy: NativeResolution?
    public let configuration: Qwen2VLConfiguration
    /// Whether the limits of pixels were asked for, so that they hold for frames of videos, too.
    let hasPixelLimit: Bool

    public init(
        configuration: Qwen2VLConfiguration, tokenizer: Tokenizer, template: ChatTemplate,
        imagePolicy: NativeResolution?, stopTokens: Set<Int32>, hasPixelLimit: Bool = false
    ) {
        self.configuration = configuration
        self.tokenizer = tokenizer
        self.template = template
        self.imagePolicy = imagePolicy
        self.stopTokens = stopTokens
        self.hasPixelLimit = hasPixelLimit
    }

    public func imageTokenCount(width: Int, height: Int) throws -> Int {
        guard let imagePolicy else { throw ProcessingError.unsupported("this model reads text only") }
        return try imagePolicy.tokenCount(imagePolicy.grid(width: width, height: height))
    }

    public func process(_ conversation: Conversation, _ options: ProcessingOptions) throws -> ProcessedSequence {
        if options.isRaw { throw ProcessingError.unsupported("this model's prompts always follow its chat template") }
        let prompt = try RenderedPrompt(conversation, template: template, tokenizer: tokenizer, options)
        let tokens = try tokenizer.encode(prompt.text)
        let supervised = prompt.supervised(tokens, stopTokens: stopTokens)
        let (items, ofKind) = try visualItems(conversation)

        var rows: [TokenRow] = []
        rows.reserveCapacity(tokens.count + items.reduce(0) { $0 + $1.tokenCount })
        var positions = MultimodalPositions()
        var placed: [VisualItem.Kind: Int] = [.image: 0, .video: 0]
        for (token, isSupervised) in zip(tokens, supervised) {
            guard token.source == .template, let kind = kind(of: token.id) else {
                rows.append(TokenRow(id: token.id, position: positions.text(), isSupervised: isSupervised))
                continue
            }
            let number = placed[kind, default: 0]
            placed[kind] = number + 1
            // The count is checked below, where both numbers are known.
            guard let indices = ofKind[kind], number < indices.count else { continue }
            let index = indices[number]
            for position in positions.item(try items[index].patchGrid(), mergeSize: imagePolicy?.mergeSize ?? 1) {
                rows.append(TokenRow(id: token.id, position: position, item: Int32(index)))
            }
        }
        for (kind, name) in [(VisualItem.Kind.image, "picture"), (.video, "video")] {
            let given = ofKind[kind]?.count ?? 0
            guard placed[kind] == given else {
                throw ProcessingError.mediaCount(kind: name, given: given, placed: placed[kind] ?? 0)
            }
        }
        let limit = configuration.decoder.maxPositions
        guard rows.count <= limit else { throw ProcessingError.contextLength(tokens: rows.count, limit: limit) }
        return ProcessedSequence(
            rows: rows, items: items, nextPosition: positions.next, promptText: prompt.text.string)
    }

    private func kind(of id: Int32) -> VisualItem.Kind? {
        guard imagePolicy != nil else { return nil }
        return id == configuration.imageToken ? .image : id == configuration.videoToken ? .video : nil
    }

    /// The items in the order of the conversation, and which of them are pictures and videos.
    private func visualItems(
        _ conversation: Conversation
    ) throws -> (items: [VisualItem], ofKind: [VisualItem.Kind: [Int]]) {
        var items: [VisualItem] = []
        var ofKind: [VisualItem.Kind: [Int]] = [:]
        for part in conversation.lazy.flatMap(\.parts) {
            if case .text = part { continue }
            guard let imagePolicy else {
                throw ProcessingError.unsupported("this model reads text only; the conversation has pictures")
            }
            switch part {
            case .text: continue
            case .image(let image): items.append(try imagePolicy.item(image))
            case .video(let video): items.append(try imagePolicy.item(video))
            }
            let kind = items[items.count - 1].kind
            ofKind[kind, default: []].append(items.count - 1)
        }
        return (items, ofKind)
    }
}
