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
    private var words: TextStream
    private var marked: TextStream
    private var stops: StopMatcher
    private var text = ""
    private let started = ContinuousClock.now
    private var firstToken: ContinuousClock.Instant?

    init(_ submission: Submission, model: VisionLanguageModel, tokenizer: Tokenizer) throws {
        let request = submission.request, limit = model.decoder.configuration.contextLength
        self.submission = submission
        cache = model.decoder.makeCache(limit: limit)
        room = min(request.maxTokens, limit - request.prompt.rows.count)
        sampler = try Sampler(request.sampling, prompt: request.prompt.ids)
        constraint = request.constraint
        words = TextStream(tokenizer, skipSpecialTokens: true)
        marked = TextStream(tokenizer, skipSpecialTokens: false)
        stops = StopMatcher(request.stopTexts)
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

    /// Chooses the next token; the summary once the answer is complete.
    func take(_ logits: [Float]) throws -> AnswerSummary? {
        var scores = logits
        for (id, bias) in request.logitBias where scores.indices.contains(Int(id)) { scores[Int(id)] += bias }
        for (id, count) in counts where scores.indices.contains(Int(id)) {
            scores[Int(id)] -= request.presencePenalty + Float(count) * request.frequencyPenalty
        }
        constraint?.apply(to: &scores, stopTokens: request.stopTokens)
        let token = try sampler.next(scores: scores, step: tokens.count)
        if firstToken == nil { firstToken = .now }
        if request.stopTokens.contains(token) { return try finish(.stop) }
        tokens.append(token)
        if request.presencePenalty != 0 || request.frequencyPenalty != 0 { counts[token, default: 0] += 1 }
        constraint?.advance(token)
        try marked.push(token)
        let piece = stops.push(try words.push(token))
        text += piece
        var event = AnswerToken(id: token, text: piece, score: nil, alternatives: [])
        if let count = request.alternatives { (event.score, event.alternatives) = Self.score(token, count, logits) }
        submission.sink.yield(.token(event))
        if stops.isStopped || constraint?.isFinished == true { return try finish(.stop) }
        return tokens.count >= room ? try finish(.length) : nil
    }

    func finish(_ reason: FinishReason) throws -> AnswerSummary {
        try marked.finish()
        var rest = stops.push(try words.finish())
        rest += stops.finish()
        text += rest
        let end = ContinuousClock.now, first = firstToken ?? end
        return AnswerSummary(
            finishReason: reason, restText: rest, text: text, markedText: marked.text,
            promptTokens: request.prompt.rows.count, imageTokens: request.prompt.imageTokenCount,
            completionTokens: tokens.count, secondsToFirstToken: (first - submission.submitted).seconds,
            secondsWaiting: (started - submission.submitted).seconds, decodeSeconds: (end - first).seconds)
    }

    /// Log-probabilities of a token and of the likeliest ones, likeliest first.
    private static func score(_ token: Int32, _ count: Int, _ logits: [Float]) -> (TokenScore, [TokenScore]) {
        let top = logits.max() ?? 0
        let total = Float(log(logits.reduce(0.0) { $0 + exp(Double($1 - top)) })) + top
        func scored(_ id: Int) -> TokenScore { TokenScore(id: Int32(id), logProbability: logits[id] - total) }
        var best: [Int] = []
        for id in logits.indices where count > 0 {
            if best.count == count, let last = best.last, logits[last] >= logits[id] { continue }
            let place = best.firstIndex { logits[$0] < logits[id] } ?? best.count
            best.insert(id, at: place)
            if best.count > count { best.removeLast() }
        }
        return (scored(Int(token)), best.map(scored))
    }
}
