internal import Dispatch
internal import Foundation
internal import Media
public import Models
internal import Text

/// Turns encoded messages into prompts: measured by their headers first, decoded one at a time later.
public struct PromptPreparer: Sendable {
    private let processor: any ConversationProcessor
    private let facts: EngineFacts
    public let limits: PromptLimits
    private let decoder = PictureDecoder()

    public init(engine: any ServingEngine, limits: PromptLimits) {
        processor = engine.processor
        facts = engine.facts
        self.limits = limits
    }

    /// What a request takes, known before any picture is decoded.
    public struct Measure: Sendable, Hashable {
        /// Tokens that the pictures and frames take; frames count as pictures, which is at least what they take.
        public var pictureTokens = 0
        /// Bytes of decoded pictures, patches, and keys and values.
        public var bytes = 0
    }

    /// Reads headers and adds up.
    ///
    /// - Throws: `PromptError` for what is no picture, too large, too many or too long for the model.
    public func measure(_ messages: [EncodedMessage], maxTokens: Int, answers: Int) throws(PromptError) -> Measure {
        guard messages.count <= limits.maxMessages else {
            throw PromptError(.count, "there are \(messages.count) messages; at most \(limits.maxMessages) are taken")
        }
        var measure = Measure(), textBytes = 0, frameTokens = 0
        let count = messages.reduce(0) { $0 + $1.files.count }
        guard count <= limits.maxPictures else {
            throw PromptError(.count, "there are \(count) pictures and frames; at most \(limits.maxPictures) are taken")
        }
        var number = 0, largest = 0
        for message in messages {
            for part in message.parts {
                switch part {
                case .text(let text): textBytes += text.utf8.count
                case .image(let file):
                    number += 1
                    let (tokens, bytes, decoded) = try measureFile(file, name: Self.name(number))
                    measure.pictureTokens += tokens
                    measure.bytes += bytes + file.count
                    largest = max(largest, decoded)
                case .video(let frames, _):
                    for frame in frames {
                        number += 1
                        let (tokens, bytes, decoded) = try measureFile(frame, name: Self.name(number))
                        frameTokens += tokens
                        // Frames are kept together until they are resized.
                        measure.bytes += bytes + frame.count + decoded
                    }
                }
            }
        }
        // Two frames or more become one step.
        measure.pictureTokens += frameTokens / 2
        measure.bytes += largest
        // No token of a text has more bytes than this, but for runs of spaces; longer texts are not even tokenised.
        guard textBytes <= facts.contextLength * 64 else {
            throw PromptError(
                .length, "the text has \(textBytes) bytes, far more than the model's \(facts.contextLength) tokens hold"
            )
        }
        guard measure.pictureTokens <= facts.contextLength else {
            throw PromptError(
                .length,
                "the pictures take \(measure.pictureTokens) tokens, the model takes \(facts.contextLength); send fewer or "
                    + "smaller pictures")
        }
        let tokens = min(facts.contextLength, measure.pictureTokens + textBytes + 64 + maxTokens)
        // A cache grows by doubling.
        measure.bytes += answers * 2 * tokens * facts.cacheBytesPerToken
        return measure
    }

    private static func name(_ number: Int) -> String { "picture \(number)" }

    private func measureFile(
        _ file: [UInt8], name: String
    ) throws(PromptError) -> (tokens: Int, bytes: Int, decoded: Int) {
        guard file.count <= limits.maxPictureBytes else {
            throw PromptError(
                .picture, "\(name) has \(file.count) bytes; at most \(limits.maxPictureBytes) are taken")
        }
        do {
            let info = try ImageInfo(file, name: name), size = info.uprightSize
            let (pixels, overflow) = size.width.multipliedReportingOverflow(by: size.height)
            guard !overflow, pixels <= limits.maxPicturePixels else {
                throw PromptError(
                    .picture,
                    "\(name) has \(size.width)×\(size.height) pixels; at most \(limits.maxPicturePixels) are taken")
            }
            let tokens = try processor.imageTokenCount(width: size.width, height: size.height)
            let range = processor.pixelLimits ?? pixels...pixels
            let resized = min(max(pixels, range.lowerBound), range.upperBound)
            // Patches: three channels of float32, each picture twice where a step of time has two frames.
            return (tokens, resized * 27, pixels * 3 * (info.orientation == 1 ? 1 : 2))
        } catch { throw Self.promptError(error) }
    }

    /// Decodes, renders and tokenises.
    ///
    /// - Throws: `PromptError`.
    public func prepare(_ messages: [EncodedMessage]) async throws -> ProcessedSequence {
        do {
            return try await decoder.prepare(messages, processor: processor, limits: limits, facts: facts)
        } catch { throw Self.promptError(error) }
    }

    /// The prompt of a plain text, without a template; text of special tokens stays text.
    public func prepare(text: String) throws(PromptError) -> ProcessedSequence {
        guard text.utf8.count <= facts.contextLength * 64 else {
            throw PromptError(.length, "the text is far longer than the model's \(facts.contextLength) tokens hold")
        }
        do {
            return try prepare(ids: processor.tokenizer.encode(TaggedText(text, .data(0))).map(\.id), text: text)
        } catch { throw Self.promptError(error) }
    }

    /// The prompt of token ids.
    public func prepare(ids: [Int32], text: String? = nil) throws(PromptError) -> ProcessedSequence {
        guard ids.count <= facts.contextLength else {
            throw PromptError(
                .length, "the prompt has \(ids.count) tokens, the model takes \(facts.contextLength)")
        }
        if let index = ids.firstIndex(where: { $0 < 0 || Int($0) >= facts.vocabularySize }) {
            throw PromptError(
                .model,
                "token \(index) of the prompt is \(ids[index]); ids are from 0 to \(facts.vocabularySize - 1)")
        }
        let rows = ids.enumerated().map { TokenRow(id: $0.element, position: SIMD3(repeating: Int32($0.offset))) }
        return ProcessedSequence(rows: rows, items: [], nextPosition: Int32(ids.count), promptText: text ?? "")
    }

    /// Errors of pictures and processing are the client's; they name no files and hold no native messages.
    fileprivate static func promptError(_ error: any Error) -> PromptError {
        switch error {
        case let error as PromptError: error
        case let error as MediaError:
            if case .unknownFormat = error {
                PromptError(.format, "\(error)")
            } else {
                PromptError(.picture, "\(error)")
            }
        case let error as ProcessingError:
            if case .contextLength = error {
                PromptError(.length, "\(error)")
            } else {
                PromptError(.model, "\(error)")
            }
        case let error as TokenizerError: PromptError(.model, "\(error)")
        default: PromptError(.model, "the conversation cannot be rendered for this model")
        }
    }
}

/// A thread of its own for an actor. (Dispatch's own serial queues are executors on Apple's systems only.)
private final class QueueExecutor: SerialExecutor {
    private let queue: DispatchQueue

    init(label: String) { queue = DispatchQueue(label: label) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}

/// Decodes pictures one request at a time, off the pool on which connections are served.
private actor PictureDecoder {
    private let executor = QueueExecutor(label: "omma pictures")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    func prepare(
        _ messages: [EncodedMessage], processor: any ConversationProcessor, limits: PromptLimits, facts: EngineFacts
    ) throws -> ProcessedSequence {
        var number = 0
        func decode(_ file: [UInt8]) throws -> Image {
            try Task.checkCancellation()
            number += 1
            return try Image.decode(
                file, name: "picture \(number)", policy: .upright,
                limits: DecodeLimits(maxBytes: limits.maxPictureBytes, maxPixels: limits.maxPicturePixels))
        }
        let conversation = try messages.map { message in
            Message(
                message.role,
                try message.parts.map { part in
                    switch part {
                    case .text(let text): .text(text)
                    case .image(let file): .image(try decode(file))
                    case .video(let frames, let rate): .video(try video(frames.map(decode), rate, processor))
                    }
                })
        }
        let sequence = try processor.process(conversation, ProcessingOptions())
        if let index = sequence.rows.firstIndex(where: { $0.id < 0 || Int($0.id) >= facts.vocabularySize }) {
            throw ProcessingError.tokenOutOfRange(
                id: Int(sequence.rows[index].id), index: index, vocabulary: facts.vocabularySize)
        }
        return sequence
    }

    /// Frames as the model's rule for videos wants them: of one size, and no larger than so many may be.
    private func video(_ frames: [Image], _ rate: Double, _ processor: any ConversationProcessor) throws -> Video {
        guard let sampling = processor.videoSampling else {
            throw ProcessingError.unsupported("this model takes no videos")
        }
        guard let first = frames.first else { throw ProcessingError.emptyVideo }
        let size = try sampling.frameSize(width: first.width, height: first.height, frames: frames.count)
        return Video(
            frames: try frames.map { try $0.resized(width: size.width, height: size.height, filter: .bicubic) },
            framesPerSecond: rate)
    }
}
