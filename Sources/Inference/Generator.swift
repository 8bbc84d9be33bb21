internal import Foundation
public import Models
internal import Torch

/// Why an answer ended.
public enum FinishReason: String, Sendable, Codable {
    /// The model ended it.
    case stop
    /// The limit of tokens was reached.
    case length
    /// Whoever listened wanted no more.
    case cancelled
}

public struct GenerationOptions: Sendable, Hashable {
    public var maxTokens: Int
    public var sampling: SamplingOptions
    /// Ids at which the answer ends; they are not part of it.
    public var stopTokens: Set<Int32>

    public init(maxTokens: Int = 512, sampling: SamplingOptions = .greedy, stopTokens: Set<Int32> = []) {
        self.maxTokens = maxTokens
        self.sampling = sampling
        self.stopTokens = stopTokens
    }
}

/// An answer and what it took.
public struct GenerationResult: Sendable {
    public var tokens: [Int32] = []
    public var finishReason = FinishReason.length
    public var promptTokens: Int
    public var imageTokens: Int
    /// From the call to the first token, with vision tower and prompt.
    public var secondsToFirstToken = 0.0
    /// From the first token to the end.
    public var decodeSeconds = 0.0

    /// Tokens a second once the first was there; nil for answers too short to tell.
    public var tokensPerSecond: Double? {
        tokens.count > 1 && decodeSeconds > 0 ? Double(tokens.count - 1) / decodeSeconds : nil
    }
}

/// Answers conversations with a model. All calls belong on one thread.
public final class Generator {
    public let model: VisionLanguageModel

    public init(_ model: VisionLanguageModel) { self.model = model }

    /// Answers one conversation until a stop token, the limit, or `onToken` gives false.
    ///
    /// - Parameter useCache: without it every step computes the whole sequence anew; for comparisons.
    public func generate(
        _ sequence: ProcessedSequence, _ options: GenerationOptions, useCache: Bool = true,
        onToken: (Int32) throws -> Bool = { _ in true }
    ) throws -> GenerationResult {
        try generate([sequence], [options], useCache: useCache) { _, token in try onToken(token) }[0]
    }

    /// Answers several conversations together. What one of them gets does not depend on its company.
    ///
    /// - Parameter onToken: gets the number of the conversation and its next token; false ends that answer.
    public func generate(
        _ sequences: [ProcessedSequence], _ options: [GenerationOptions], useCache: Bool = true,
        onToken: (Int, Int32) throws -> Bool = { _, _ in true }
    ) throws -> [GenerationResult] {
        precondition(sequences.count == options.count, "options for each conversation")
        let limit = model.decoder.configuration.contextLength
        var answers = try zip(sequences, options).map { sequence, options in
            try Answer(sequence, options, cache: useCache ? model.decoder.makeCache(limit: limit) : nil, limit: limit)
        }
        let start = ContinuousClock.now
        try withoutGradient {
            while true {
                let active = answers.indices.filter { answers[$0].isActive }
                if active.isEmpty { break }
                let input = try makeInput(active.map { answers[$0] })
                let caches = active.compactMap { answers[$0].cache }
                let hidden = try model.hiddenStates(input, ForwardContext(caches: useCache ? caches : nil))
                let last = try Tensor(input.segments.offsets.dropFirst().map { $0 - 1 }).to(hidden.device)
                let logits = try model.logits(hidden.indexSelect(0, last))
                for (row, index) in active.enumerated() {
                    try answers[index].take(logits.select(0, row), since: start) { try onToken(index, $0) }
                }
            }
        }
        return answers.map(\.result)
    }

    private func makeInput(_ answers: [Answer]) throws -> ModelInput {
        if answers.allSatisfy({ $0.cache == nil || $0.result.tokens.isEmpty }) {
            return try ModelInput(answers.map(\.whole))
        }
        return try ModelInput(
            continuing: answers.map { answer in
                // The token before the next position is the one that was chosen last.
                [(id: answer.whole.rows[answer.whole.rows.count - 1].id, position: answer.whole.nextPosition - 1)]
            })
    }
}

/// One conversation on its way.
private struct Answer {
    var whole: ProcessedSequence
    let options: GenerationOptions
    let cache: KeyValueCache?
    let room: Int
    var sampler: Sampler
    var result: GenerationResult
    var isActive: Bool
    var firstToken: ContinuousClock.Instant?

    init(_ sequence: ProcessedSequence, _ options: GenerationOptions, cache: KeyValueCache?, limit: Int) throws {
        whole = sequence
        self.options = options
        self.cache = cache
        room = min(options.maxTokens, limit - sequence.rows.count)
        sampler = try Sampler(options.sampling, prompt: sequence.ids)
        result = GenerationResult(promptTokens: sequence.rows.count, imageTokens: sequence.imageTokenCount)
        isActive = room > 0 && !sequence.rows.isEmpty
    }

    mutating func take(_ logits: Tensor, since start: ContinuousClock.Instant, _ onToken: (Int32) throws -> Bool) throws
    {
        let token = try sampler.next(logits, step: result.tokens.count)
        let now = ContinuousClock.now
        if let firstToken {
            result.decodeSeconds = (now - firstToken).seconds
        } else {
            firstToken = now
            result.secondsToFirstToken = (now - start).seconds
        }
        if options.stopTokens.contains(token) {
            result.finishReason = .stop
            isActive = false
            return
        }
        result.tokens.append(token)
        whole.append(generated: token)
        if try !onToken(token) {
            result.finishReason = .cancelled
            isActive = false
        } else if result.tokens.count >= room {
            isActive = false
        }
    }
}

extension Duration {
    /// The length in seconds.
    public var seconds: Double {
        let (whole, fraction) = components
        return Double(whole) + Double(fraction) * 1e-18
    }
}
