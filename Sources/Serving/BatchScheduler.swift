internal import Inference
internal import Models
internal import NN
internal import Synchronization
internal import Text
internal import Torch

/// Decodes several answers together, on one thread.
///
/// Each step reads one picture or one chunk of one prompt, alone, and then brings a token to every answer whose prompt
/// is read. What an answer's own passes compute is thus the same whatever its company; and the decoding pass gives each
/// of up to 16 rows the same bits as a pass of its own.
final class BatchScheduler {
    private let model: VisionLanguageModel
    private let tokenizer: Tokenizer
    private let options: BatchOptions
    private let shared: SharedStatistics
    private let observer: (@Sendable (String) throws -> Void)?
    private let courier = AnswerCourier()
    private var waiting: [Submission] = []
    private var running: [RunningAnswer] = []

    init(
        model: VisionLanguageModel, tokenizer: Tokenizer, options: BatchOptions, shared: SharedStatistics,
        observer: (@Sendable (String) throws -> Void)?
    ) {
        self.model = model
        self.tokenizer = tokenizer
        self.options = options
        self.shared = shared
        self.observer = observer
    }

    /// Answers until the mailbox is closed.
    func run(_ mailbox: Mailbox) {
        while true {
            let contents = mailbox.take(waiting: waiting.isEmpty && running.isEmpty)
            let start = ContinuousClock.now
            waiting += contents.submissions
            drop(contents.cancelled)
            if contents.isClosed {
                for answer in running { fail(answer, EngineError.shuttingDown) }
                for submission in waiting { submission.sink.finish(throwing: EngineError.shuttingDown) }
                courier.close()
                return
            }
            expire()
            admit()
            withoutGradient {
                readPrompt()
                decode()
            }
            let bytes = running.reduce(0) { $0 + $1.cache.byteCount }
            shared.value.withLock {
                $0.waiting = waiting.count
                $0.running = running.count
                $0.cacheBytes = bytes
                $0.busySeconds += (.now - start).seconds
            }
        }
    }

    // MARK: - coming and going

    private func drop(_ cancelled: Set<UInt64>) {
        if cancelled.isEmpty { return }
        let before = waiting.count + running.count
        waiting.removeAll { cancelled.contains($0.number) }
        running.removeAll { cancelled.contains($0.submission.number) }
        let dropped = before - waiting.count - running.count
        shared.value.withLock { $0.cancelled += dropped }
    }

    private func expire() {
        let now = ContinuousClock.now
        func error(_ submission: Submission) -> EngineError? {
            guard let deadline = submission.request.deadline, deadline <= now else { return nil }
            return .deadline(seconds: Int((deadline - submission.submitted).seconds.rounded()))
        }
        for answer in running { if let error = error(answer.submission) { fail(answer, error) } }
        waiting.removeAll { submission in
            guard let error = error(submission) else { return false }
            submission.sink.finish(throwing: error)
            shared.value.withLock { $0.failed += 1 }
            return true
        }
    }

    private func admit() {
        while running.count < options.maxBatch, !waiting.isEmpty {
            let submission = waiting.removeFirst()
            do {
                let answer = try RunningAnswer(
                    submission, model: model, tokenizer: tokenizer, courier: courier)
                running.append(answer)
                if answer.isEmpty { end(answer, .length) }
            } catch {
                submission.sink.finish(throwing: Self.engineError(error))
                shared.value.withLock { $0.failed += 1 }
            }
        }
    }

    private func end(_ answer: RunningAnswer, _ reason: FinishReason) {
        running.removeAll { $0 === answer }
        shared.value.withLock {
            $0.finished += 1
            $0.completionTokens += answer.tokens.count
            $0.running = running.count
        }
        answer.finish(reason)
    }

    private func fail(_ answer: RunningAnswer, _ error: any Error) {
        running.removeAll { $0 === answer }
        shared.value.withLock { $0.failed += 1 }
        answer.fail(Self.engineError(error))
    }

    private static func engineError(_ error: any Error) -> EngineError {
        switch error {
        case let error as EngineError: error
        case let error as TorchError where error.kind == .outOfMemory: .outOfMemory
        default: .failed(detail: "\(error)")
        }
    }

    // MARK: - the model's work

    private func context(_ caches: [KeyValueCache]?) -> ForwardContext {
        ForwardContext(caches: caches, observer: observer.map { observer in { name, _ in try observer(name) } })
    }

    private func measured<Result>(_ body: () throws -> Result) rethrows -> Result {
        let start = ContinuousClock.now
        defer { shared.value.withLock { $0.modelSeconds += (.now - start).seconds } }
        return try body()
    }

    /// Reads one picture or one chunk of the prompt that came first.
    private func readPrompt() {
        guard let answer = running.first(where: { !$0.isDecoding }) else { return }
        do {
            switch answer.stage {
            case .item(let index): try readItem(answer, index)
            case .prompt(let start): try readChunk(answer, from: start)
            case .decode: break
            }
        } catch { fail(answer, error) }
    }

    private func readItem(_ answer: RunningAnswer, _ index: Int) throws {
        let items = answer.request.prompt.items
        guard let vision = model.vision else {
            throw ProcessingError.unsupported("this model reads text only; the input has pictures")
        }
        let features = try measured { try vision.features([items[index]], context(nil)) }
        answer.features.append(features)
        answer.stage = index + 1 < items.count ? .item(index + 1) : .prompt(0)
    }

    private func readChunk(_ answer: RunningAnswer, from start: Int) throws {
        let prompt = answer.request.prompt
        let range = start..<min(start + options.prefillChunk, prompt.rows.count)
        let logits: [Float]? = try measured {
            let embedded = try answer.embedded ?? embed(answer)
            answer.embedded = embedded
            let hidden = try model.decoder(
                embedded.tokens.slice(0, range), embedded.input.chunk(range),
                memory: start == 0 ? embedded.columns : nil,
                context: context([answer.cache]))
            guard range.upperBound == prompt.rows.count else { return nil }
            let last = try hidden.slice(0, range.count - 1..<range.count)
            return try model.logits(last).to(.float32).to(.cpu).values()
        }
        shared.value.withLock { $0.promptTokens += range.count }
        guard let logits else {
            answer.stage = .prompt(range.upperBound)
            return
        }
        answer.embedded = nil
        answer.features = []
        answer.stage = .decode
        // Before the answer goes its own way, those with the same prompt go as far as it is.
        for other in running where other.canTakeOver(answer) {
            do {
                try other.cache.copy(from: answer.cache)
                other.stage = .decode
                take(logits, [other])
            } catch { fail(other, error) }
        }
        if let reason = try answer.take(logits) { end(answer, reason) }
    }

    /// The whole prompt as the decoder reads it.
    private func embed(_ answer: RunningAnswer) throws -> RunningAnswer.Embedded {
        let input = try ModelInput([answer.request.prompt])
        let features = answer.features.isEmpty ? nil : try Tensor.cat(answer.features)
        let (tokens, columns) = try model.embed(input, features: features)
        return RunningAnswer.Embedded(input: input, tokens: tokens, columns: columns)
    }

    /// Brings a token to every answer whose prompt is read.
    private func decode() {
        let answers = running.filter(\.isDecoding)
        if answers.isEmpty { return }
        let lengths = answers.map(\.cache.length)
        do {
            take(try logits(answers), answers)
        } catch {
            // The caches may hold part of the step. What fails alone, too, was at fault.
            for (answer, length) in zip(answers, lengths) {
                answer.cache.truncate(to: length)
                if answers.count == 1 {
                    fail(answer, error)
                    continue
                }
                do { take(try logits([answer]), [answer]) } catch { fail(answer, error) }
            }
        }
        shared.value.withLock { $0.decodeSteps += 1 }
    }

    private func logits(_ answers: [RunningAnswer]) throws -> [Float] {
        try measured {
            let input = try ModelInput(continuing: answers.map { [$0.next] })
            let hidden = try model.hiddenStates(input, context(answers.map(\.cache)))
            return try model.logits(hidden).to(.float32).to(.cpu).values()
        }
    }

    private func take(_ logits: [Float], _ answers: [RunningAnswer]) {
        let size = logits.count / answers.count
        for (row, answer) in answers.enumerated() {
            do {
                let own = answers.count == 1 ? logits : Array(logits[row * size..<(row + 1) * size])
                if let reason = try answer.take(own) { end(answer, reason) }
            } catch { fail(answer, error) }
        }
    }
}
