public import Data
import Foundation
import Inference
import Media
public import Models
import Text

/// How good a model is on generated pictures, task by task.
public struct SyntheticEvaluation {
    public struct Result: Sendable, Codable {
        public var task: String
        /// What `value` is: the share of exact answers, the character error rate, or the share of boxes with an
        /// intersection over union above 0.5.
        public var metric: String
        /// Whether noise stood in for the pictures.
        public var isBlind: Bool
        public var value: Double
        /// Half the width of the 95 % interval of a share (Wilson); nil for error rates.
        public var uncertainty: Double?
        public var questions: Int
        public var answers: [Answer]
    }

    public struct Answer: Sendable, Codable {
        public var index: Int
        public var question: String
        public var answer: String
        public var truth: String
        public var isRight: Bool
        public var font: String?
    }

    public var folder: ModelFolder
    public var model: VisionLanguageModel
    /// Answered together; what an answer is does not depend on it.
    public var batchSize: Int
    /// Whether noise stands in for the pictures: what is right then was guessed from the words.
    public var isBlind = false

    public init(folder: ModelFolder, model: VisionLanguageModel, batchSize: Int = 16) {
        self.folder = folder
        self.model = model
        self.batchSize = max(1, batchSize)
    }

    /// Asks `count` single questions of one task about pictures of the options' seed and split.
    public func run(
        _ task: SyntheticTask, options: SyntheticOptions, count: Int, progress: (Int) -> Void = { _ in }
    ) throws -> Result {
        var options = options
        options.weights = SyntheticOptions.only(task)
        options.turns = .single
        let generator = try SyntheticGenerator(options)
        var answers: [Answer] = []
        var errors = CharacterErrorRate()
        for start in stride(from: 0, to: count, by: batchSize) {
            let samples = try (start..<min(count, start + batchSize)).map { try generator.sample(at: $0) }
            let texts = try ask(samples)
            for (sample, text) in zip(samples, texts) {
                guard let turn = sample.turns.first else { continue }
                errors.add(prediction: text, truth: turn.answer)
                answers.append(
                    Answer(
                        index: sample.metadata.index, question: turn.question, answer: text, truth: turn.answer,
                        isRight: Scoring.isCorrect(text, turn.answer, task: turn.task), font: sample.metadata.font))
            }
            progress(answers.count)
        }
        let right = answers.count(where: \.isRight)
        let isText = task == .text
        return Result(
            task: task.rawValue, metric: isText ? "character error rate" : task == .box ? "IoU > 0.5" : "exact",
            isBlind: isBlind, value: isText ? errors.value : Double(right) / Double(max(1, answers.count)),
            uncertainty: isText ? nil : Self.wilson(right, of: answers.count), questions: answers.count,
            answers: answers)
    }

    private func ask(_ samples: [SyntheticSample]) throws -> [String] {
        let sequences = try samples.map { sample in
            var question = [Message(.user, [.image(sample.image), .text(sample.turns.first?.question ?? "")])]
            if isBlind {
                var generator = SeededGenerator(
                    seed: 0x626C_696E_64, stream: UInt64(truncatingIfNeeded: sample.metadata.index))
                question.hidePictures(using: &generator)
            }
            return try folder.processor.process(question, ProcessingOptions())
        }
        let options = GenerationOptions(maxTokens: 256, stopTokens: folder.processor.stopTokens)
        return try Generator(model).generate(sequences, sequences.map { _ in options }).map { result in
            let known = result.tokens.filter { folder.tokenizer.token(for: $0) != nil }
            return try folder.tokenizer.decode(known)
        }
    }

    /// Half the width of the 95 % interval of `right` of `count` (Wilson 1927).
    static func wilson(_ right: Int, of count: Int) -> Double {
        guard count > 0 else { return 0 }
        let n = Double(count), share = Double(right) / n, z = 1.96
        return z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
    }
}
