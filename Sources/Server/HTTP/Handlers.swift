internal import Fetching
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Inference
internal import Logging
internal import Models
internal import NIOCore
internal import Serving
internal import Synchronization
internal import Text

/// What all routes share.
struct Handlers: Sendable {
    let options: ServerOptions
    let engine: any ServingEngine
    let generation: GenerationDefaults
    let preparer: PromptPreparer
    let addresses: PictureAddresses
    let admission: Admission
    let metrics: ServerMetrics
    let logger: Logger
    /// For answers of a given form; made when the first one is asked for.
    private let tokenBytes: LazyTokenBytes
    let started = Int(Date().timeIntervalSince1970)

    init(
        options: ServerOptions, engine: any ServingEngine, generation: GenerationDefaults, admission: Admission,
        logger: Logger
    ) {
        self.options = options
        self.engine = engine
        self.generation = generation
        self.admission = admission
        self.logger = logger
        preparer = PromptPreparer(engine: engine, limits: options.prompt)
        addresses = PictureAddresses(
            fetcher: options.pictureAddresses.map { Fetcher($0) }, limits: options.prompt,
            maxBytes: options.maxBodyBytes)
        metrics = ServerMetrics()
        tokenBytes = LazyTokenBytes(engine.processor.tokenizer)
    }

    /// What answers of a given form are held to; nil for text.
    func constraint(_ format: AnswerFormat) throws -> (any TokenConstraint)? {
        if case .text = format { return nil }
        return try format.constraint(tokenBytes.value)
    }

    var samplingReader: SamplingReader {
        SamplingReader(options: options, facts: engine.facts, generation: generation)
    }

    /// The body as JSON.
    func json(_ request: inout Request) async throws -> RequestObject {
        let type = request.headers[.contentType]?.lowercased().split(separator: ";").first ?? ""
        guard type.trimmingCharacters(in: .whitespaces) == "application/json" else {
            throw APIError(
                status: .unsupportedMediaType, type: "invalid_request_error",
                message: "the content type must be application/json")
        }
        let limit = options.maxBodyBytes
        let tooLarge = APIError(
            status: .contentTooLarge, type: "invalid_request_error", code: "too_large",
            message: "the body has more than \(limit) bytes")
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit { throw tooLarge }
        let buffer: ByteBuffer
        do {
            buffer = try await within(seconds: options.uploadSeconds) { [body = request.body] in
                try await body.collect(upTo: limit)
            }
        } catch is NIOTooManyBytesError { throw tooLarge }
        do {
            return try RequestObject(
                OrderedJSON(parsing: buffer.readableBytesView, maximumBytes: limit, maximumDepth: 64))
        } catch let error as OrderedJSON.ParseError {
            throw APIError.invalid("the body is not JSON: \(error)", nil)
        }
    }

    private func within(
        seconds: Int, _ body: @escaping @Sendable () async throws -> ByteBuffer
    ) async throws -> ByteBuffer {
        try await withThrowingTaskGroup(of: ByteBuffer?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: .seconds(seconds))
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let buffer = first else {
                throw APIError(
                    status: .requestTimeout, type: "invalid_request_error",
                    message: "the body did not arrive within \(seconds) s")
            }
            return buffer
        }
    }

    func deadline(from start: ContinuousClock.Instant = .now) -> ContinuousClock.Instant {
        start + .seconds(options.deadlineSeconds)
    }

    /// Counts the answer, and logs what only we may read.
    func note(_ summary: AnswerSummary) { metrics.count(summary) }

    func log(_ error: any Error) {
        if case EngineError.failed(let detail) = error { logger.error("an answer failed: \(detail)") }
    }

    /// Ids of objects: unguessable, so that they tell nothing about other requests.
    func newID(_ prefix: String) -> String {
        "\(prefix)-" + UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
    }
}

/// The bytes of all tokens, made once.
private final class LazyTokenBytes: Sendable {
    private let tokenizer: Tokenizer
    private let made = Mutex<TokenBytes??>(nil)

    init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    var value: TokenBytes? {
        made.withLock { made in
            if let made { return made }
            let bytes = TokenBytes(tokenizer)
            made = .some(bytes)
            return bytes
        }
    }
}
