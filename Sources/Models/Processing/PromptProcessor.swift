internal import Foundation
public import Text

/// The processor of all families whose prompt format is a value: turns, pictures in their places, plain positions.
public struct PromptProcessor: ConversationProcessor {
    public let tokenizer: Tokenizer
    public let stopTokens: Set<Int32>
    public let format: PromptFormat
    /// Nil in a text model.
    public let placement: PicturePlacement?
    public private(set) var imagePolicy: (any ImagePolicy)?
    private let contextLength: Int
    private let placeholder: Int32?

    /// - Throws: `ConfigurationError` where the tokenizer of `folder` lacks a token that the format needs, or has more
    ///   tokens than the decoder knows.
    init(
        tokenizer: Tokenizer, format: PromptFormat, placement: PicturePlacement?, imagePolicy: (any ImagePolicy)?,
        decoder: DecoderConfiguration, stopTokens: Set<Int32>, folder: URL
    ) throws {
        func id(_ token: String) throws -> Int32 {
            guard let id = tokenizer.id(for: token) else {
                throw ConfigurationError(
                    file: folder.appending(path: "tokenizer_config.json").path, field: token,
                    reason: "is no token, but the model's prompts need it; are the tokenizer's files of this model?")
            }
            guard id < decoder.vocabularySize else {
                throw ConfigurationError(
                    file: folder.appending(path: "config.json").path, field: "vocab_size",
                    reason: "is \(decoder.vocabularySize), but the tokenizer's \(token) has the id \(id)")
            }
            return id
        }
        self.tokenizer = tokenizer
        self.format = format
        self.placement = placement
        self.imagePolicy = imagePolicy
        contextLength = decoder.contextLength
        placeholder = try placement.flatMap { $0.fusion == .crossAttention ? nil : try id($0.placeholder) }
        self.stopTokens = stopTokens.union([try id(format.stop)])
    }

    public func process(_ conversation: Conversation, _ options: ProcessingOptions) throws -> ProcessedSequence {
        var prompt = Prompt(self)
        if options.isRaw {
            for (number, message) in conversation.enumerated() { try prompt.add(message, number) }
        } else {
            if conversation.first?.role != .system, let system = format.defaultSystem, let turn = format.system {
                prompt.add(turn.before + system + turn.after)
            }
            for (number, message) in conversation.enumerated() {
                if message.role == .system, message.text.isEmpty, let text = format.withoutSystem {
                    prompt.add(text)
                    continue
                }
                let turn = try format.turn(message.role)
                prompt.add(turn.before)
                try prompt.add(message, number)
                prompt.add(turn.after)
            }
            if options.addGenerationPrompt { prompt.add(format.assistant.before) }
        }
        let rows = try rows(
            of: prompt, isAssistant: conversation.map { $0.role == .assistant },
            names: placement?.holdsNames == true ? options.pictureNames : [])
        guard rows.count <= contextLength else {
            throw ProcessingError.contextLength(tokens: rows.count, limit: contextLength)
        }
        return ProcessedSequence(
            rows: rows, items: prompt.items, nextPosition: Int32(rows.count), promptText: prompt.string)
    }

    /// Tokenises runs of text in one piece, and tags by themselves.
    private func rows(of prompt: Prompt, isAssistant: [Bool], names: [String]) throws -> [TokenRow] {
        var tokens: [(token: TaggedToken, columns: Range<Int32>?)] = []
        var text = TaggedText()
        var features: [(item: Int, count: Int)] = []
        var tags: [(start: Int, item: Int)] = []
        var isFirst = true
        func flush() throws {
            let encoded = try tokenizer.encode(text, addSpecialTokens: isFirst)
            tokens += encoded.map { ($0, nil) }
            isFirst = false
            text = TaggedText()
        }
        for piece in prompt.pieces {
            switch piece {
            case .text(let run): text.append(run)
            case .features(let item, let count):
                text.append(placement?.placeholder ?? "", .template)
                features.append((item, count))
            case .tag(let tag, let item, let columns):
                try flush()
                tags.append((tokens.count, item))
                tokens += try tokenizer.encode(TaggedText(tag, .template)).map { ($0, columns) }
            }
        }
        try flush()

        let supervised = supervisedTokens(tokens.map(\.token), isAssistant: isAssistant, stopTokens: stopTokens)
        var rows: [TokenRow] = []
        rows.reserveCapacity(tokens.count + prompt.items.reduce(0) { $0 + $1.tokenCount })
        // Columns that were met so far: those of the pictures that have begun.
        var seen = 0..<Int32(0), placed = 0, tagged = 0
        for (index, (token, columns)) in tokens.enumerated() {
            if tagged < tags.count, tags[tagged].start == index {
                seen = 0..<prompt.lastColumn(of: tags[tagged].item)
                tagged += 1
            }
            guard token.source == .template, token.id == placeholder, placed < features.count else {
                rows.append(
                    TokenRow(
                        id: token.id, position: SIMD3(repeating: Int32(rows.count)), isSupervised: supervised[index],
                        columns: columns ?? seen))
                continue
            }
            let (item, count) = features[placed]
            placed += 1
            seen = 0..<prompt.lastColumn(of: item)
            let name = names.indices.contains(item) ? Array(names[item].utf8) : []
            guard name.count <= count else {
                throw ProcessingError.unsupported(
                    "the name of picture \(item + 1) has \(name.count) bytes; the model has room for \(count)")
            }
            for place in 0..<count {
                rows.append(
                    TokenRow(
                        id: place < name.count ? Int32(name[place]) : token.id,
                        position: SIMD3(repeating: Int32(rows.count)), item: Int32(item), columns: seen))
            }
        }
        guard placed == features.count else {
            throw ProcessingError.mediaCount(kind: "picture", given: features.count, placed: placed)
        }
        return rows
    }
}

/// A conversation on its way to tokens.
private struct Prompt {
    private(set) var pieces: [PromptPiece] = []
    private(set) var items: [VisualItem] = []
    /// Behind the last column of each item.
    private var columnEnds: [Int] = []
    private let processor: PromptProcessor

    init(_ processor: PromptProcessor) { self.processor = processor }

    func lastColumn(of item: Int) -> Int32 { Int32(clamping: columnEnds[item]) }

    /// The text with one mark for each run of features.
    var string: String {
        pieces.reduce(into: "") { result, piece in
            switch piece {
            case .text(let text): result += text.string
            case .features: result += processor.placement?.placeholder ?? ""
            case .tag(let tag, _, _): result += tag
            }
        }
    }

    mutating func add(_ template: String) { pieces.append(.text(TaggedText(template, .template))) }

    mutating func add(_ message: Message, _ number: Int) throws {
        var parts = message.parts
        if processor.placement?.comesFirst == true {
            func isText(_ part: Part) -> Bool { if case .text = part { true } else { false } }
            parts = parts.filter { !isText($0) } + parts.filter(isText)
        }
        for (index, part) in parts.enumerated() {
            switch part {
            case .text(let text):
                pieces.append(
                    .text(
                        TaggedText(
                            text, of: number, message.role, marks: processor.format.marks,
                            questionMarks: processor.format.questionMarks)))
            case .image(let image):
                guard let placement = processor.placement, let policy = processor.imagePolicy else {
                    throw ProcessingError.unsupported("this model reads text only; the conversation has pictures")
                }
                guard placement.allowsSeveral || items.isEmpty else {
                    throw ProcessingError.unsupported("this model takes one picture; the conversation has several")
                }
                try add(policy.item(image), placement)
                if placement.addsNewline, !startsWithNewline(parts.dropFirst(index + 1).first) { add("\n") }
            case .video(let video):
                try add(video, isLineEnded: startsWithNewline(parts.dropFirst(index + 1).first))
            }
        }
    }

    /// Frames as numbered pictures of one tile.
    private mutating func add(_ video: Video, isLineEnded: Bool) throws {
        guard let placement = processor.placement, let label = placement.frameLabel,
            let policy = try processor.imagePolicy?.limitingTiles(1)
        else { throw ProcessingError.unsupported("this model takes no videos; give frames as pictures") }
        guard !video.frames.isEmpty else { throw ProcessingError.emptyVideo }
        for (number, frame) in video.frames.enumerated() {
            add("\(label)\(number + 1): ")
            try add(policy.item(frame), placement)
            if number < video.frames.count - 1 || !isLineEnded { add("\n") }
        }
    }

    private mutating func add(_ item: VisualItem, _ placement: PicturePlacement) throws {
        var item = item
        item.memoryTags = try placement.memoryTags(item, processor.tokenizer)
        let first = columnEnds.last ?? 0
        columnEnds.append(first + item.columnCount)
        pieces += try placement.pieces(item, number: items.count, firstColumn: first)
        items.append(item)
    }

    private func startsWithNewline(_ part: Part?) -> Bool {
        if case .text(let text)? = part { return text.hasPrefix("\n") }
        return false
    }
}

extension PromptProcessor {
    public func imageTokenCount(width: Int, height: Int) throws -> Int {
        guard let imagePolicy, let placement else {
            throw ProcessingError.unsupported("this model reads text only")
        }
        let layout = try imagePolicy.layout(width: width, height: height)
        let features = imagePolicy.featureCount(layout)
        switch placement.fusion {
        case .sequence: return features
        case .crossAttention: return 0
        case .hybrid:
            guard case .tiles(let grid) = layout else { return features }
            return features / grid.count
        }
    }

    public var visionPolicy: (any ImagePolicy)? { imagePolicy }
    public var pixelLimits: ClosedRange<Int>? { imagePolicy?.pixelLimits }
    public var maxTiles: Int? { imagePolicy?.maxTiles }

    public var videoSampling: VideoSampling? {
        guard placement?.frameLabel != nil, let policy = imagePolicy as? any TilePolicy else { return nil }
        return .segments(side: policy.tile.size)
    }

    public func limitingPixels(min: Int?, max: Int?) throws -> any ConversationProcessor {
        try limiting { try $0.limitingPixels(min: min, max: max) }
    }

    public func limitingTiles(_ max: Int) throws -> any ConversationProcessor {
        try limiting { try $0.limitingTiles(max) }
    }

    private func limiting(_ change: (any ImagePolicy) throws -> any ImagePolicy) throws -> PromptProcessor {
        guard let imagePolicy else { throw ProcessingError.unsupported("this model reads text only") }
        var result = self
        result.imagePolicy = try change(imagePolicy)
        return result
    }
}
