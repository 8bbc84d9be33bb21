internal import Foundation
internal import Inference
internal import Models
internal import Text
internal import Torch

/// One answer on its way through the scheduler.
final class RunningAnswer {
    /// What the next pass through the model does for it.
    enum Stage {
        /// Features of the visual item with this number come next.
        case item(Int)
        /// The prompt is read from this row on.
        case prompt(Int)
        case decode
    }

    struct Embedded {
        let input: ModelInput
        /// `[prompt tokens, hidden]`.
        let tokens: Tensor
        /// Columns of gated cross-attention.
        let columns: Tensor?
    }

    let submission: Submission
    let cache: KeyValueCache
    var stage: Stage
    /// Features of the items so far, each `[tokens, hidden]`.
    var features: [Tensor] = []
    /// The prompt as the decoder reads it, from the first chunk to the last.
    var embedded: Embedded?
    private(set) var tokens: [Int32] = []
    /// How often the answer holds each token, where that matters.
    private var counts: [Int32: Int] = [:]
    private let room: Int
    private var sampler: Sampler
    private var constraint: (any TokenConstraint)?
    /// The answer's text and where it stops; nil where it stops at no text.
    private var stopping: (words: TextStream, stops: StopMatcher)?
    private let courier: AnswerCourier
    private let writer: AnswerWriter
    private let started = ContinuousClock.now
    private var firstToken: ContinuousClock.Instant?

    init(
        _ submission: Submission, model: VisionLanguageModel, tokenizer: Tokenizer, courier: AnswerCourier
    ) throws {
        let request = submission.request, limit = model.decoder.configuration.contextLength
        self.submission = submission
        self.courier = courier
        writer = AnswerWriter(submission, tokenizer: tokenizer)
        cache = model.decoder.makeCache(limit: limit)
        room = min(request.maxTokens, limit - request.prompt.rows.count)
        sampler = try Sampler(request.sampling, prompt: request.prompt.ids)
        constraint = request.constraint
        if !request.stopTexts.isEmpty {
            stopping = (TextStream(tokenizer, skipSpecialTokens: true), StopMatcher(request.stopTexts))
        }
        stage = request.prompt.items.isEmpty ? .prompt(0) : .item(0)
    }

    var request: EngineRequest { submission.request }
    var isDecoding: Bool { if case .decode = stage { true } else { false } }
    /// Whether there is nothing to do: no prompt, or no room behind it.
    var isEmpty: Bool { room <= 0 || request.prompt.rows.isEmpty }

    /// Whether another answer's prompt may be taken over: it is the same, and nothing of it was read yet.
    func canTakeOver(_ other: RunningAnswer) -> Bool {
        guard let group = request.promptGroup, group == other.request.promptGroup, self !== other else { return false }
        switch stage {
        case .item(0), .prompt(0): return true
        default: return false
        }
    }

    /// The token that the model reads next, and where it stands.
    var next: (id: Int32, position: Int32) {
        let position = request.prompt.nextPosition + Int32(tokens.count) - 1
        return (tokens.last ?? 0, position)
    }

    /// Chooses the next token and sends it on.
    ///
    /// - Returns: why the answer is complete, once it is.
    func take(_ logits: [Float]) throws -> FinishReason? {
        var scores = logits
        for (id, bias) in request.logitBias where scores.indices.contains(Int(id)) { scores[Int(id)] += bias }
        for (id, count) in counts where scores.indices.contains(Int(id)) {
            scores[Int(id)] -= request.presencePenalty + Float(count) * request.frequencyPenalty
        }
        constraint?.apply(to: &scores, stopTokens: request.stopTokens)
        let token = try sampler.next(scores: scores, step: tokens.count)
        let isFirst = firstToken == nil
        if isFirst { firstToken = .now }
        if request.stopTokens.contains(token) { return .stop }
        tokens.append(token)
        if request.presencePenalty != 0 || request.frequencyPenalty != 0 { counts[token, default: 0] += 1 }
        constraint?.advance(token)
        if let piece = try stopping?.words.push(token) { _ = stopping?.stops.push(piece) }
        courier.send(
            .token(token, logits: request.alternatives == nil ? nil : logits), from: writer, urgently: isFirst)
        if stopping?.stops.isStopped == true || constraint?.isFinished == true { return .stop }
        return tokens.count >= room ? .length : nil
    }

    func finish(_ reason: FinishReason) {
        let end = ContinuousClock.now, first = firstToken ?? end
        courier.send(
            .end(
                AnswerEnd(
                    reason: reason, completionTokens: tokens.count,
                    secondsToFirstToken: (first - submission.submitted).seconds,
                    secondsWaiting: (started - submission.submitted).seconds, decodeSeconds: (end - first).seconds)),
            from: writer, urgently: true)
    }

    func fail(_ error: EngineError) { courier.send(.failure(error), from: writer, urgently: true) }
}
