internal import Foundation
internal import Inference
internal import Models
internal import Text

/// How an answer ended, as the engine knows it.
struct AnswerEnd: Sendable {
    var reason: FinishReason
    var completionTokens: Int
    var secondsToFirstToken: Double
    var secondsWaiting: Double
    var decodeSeconds: Double
}

/// Makes text and events of an answer's tokens. Used on the courier's thread only.
final class AnswerWriter {
    private let submission: Submission
    private let tokenizer: Tokenizer
    private lazy var words = TextStream(tokenizer, skipSpecialTokens: true)
    private lazy var marked = TextStream(tokenizer, skipSpecialTokens: false)
    private var stops: StopMatcher
    private var text = ""
    private var events: [AnswerEvent] = []
    private var failure: (any Error)?
    private var isOver = false

    init(_ submission: Submission, tokenizer: Tokenizer) {
        self.submission = submission
        self.tokenizer = tokenizer
        stops = StopMatcher(submission.request.stopTexts)
    }

    /// Notes what came.
    ///
    /// - Returns: whether it is the first since the last delivery.
    func take(_ content: AnswerCourier.Content) -> Bool {
        guard !isOver else { return false }
        let isFirst = events.isEmpty
        do {
            switch content {
            case .token(let id, let logits): events.append(.token(try token(id, logits)))
            case .end(let end):
                events.append(.end(try summary(end)))
                isOver = true
            case .failure(let error): throw error
            }
        } catch {
            failure = error
            isOver = true
        }
        return isFirst
    }

    /// Gives all that was noted to who waits for it.
    func deliver() {
        if !events.isEmpty {
            submission.sink.yield(events)
            events = []
        }
        if isOver { submission.sink.finish(throwing: failure) }
    }

    private func token(_ id: Int32, _ logits: [Float]?) throws -> AnswerToken {
        try marked.push(id)
        let piece = stops.push(try words.push(id))
        text += piece
        var token = AnswerToken(id: id, text: piece, score: nil, alternatives: [])
        if let logits, let count = submission.request.alternatives {
            (token.score, token.alternatives) = Self.score(id, count, logits)
        }
        return token
    }

    private func summary(_ end: AnswerEnd) throws -> AnswerSummary {
        try marked.finish()
        var rest = stops.push(try words.finish())
        rest += stops.finish()
        text += rest
        let prompt = submission.request.prompt
        return AnswerSummary(
            finishReason: end.reason, restText: rest, text: text, markedText: marked.text,
            promptTokens: prompt.rows.count, imageTokens: prompt.imageTokenCount,
            completionTokens: end.completionTokens, secondsToFirstToken: end.secondsToFirstToken,
            secondsWaiting: end.secondsWaiting, decodeSeconds: end.decodeSeconds)
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
