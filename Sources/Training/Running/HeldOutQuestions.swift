internal import Inference
internal import Media
internal import Models
internal import Text

/// A few of the held-out samples as questions, so that people can read how answers become better.
struct HeldOutQuestions {
    private struct Question {
        var sequence: ProcessedSequence
        /// Without its answer yet.
        var shown: SampleAnswer
    }

    private let questions: [Question]
    private let processor: any ConversationProcessor

    /// Enough for an eye, and little beside the evaluation itself.
    private static let count = 4
    private static let longestAnswer = 64

    /// Takes the first samples of the held-out set that ask something.
    init(_ heldOut: Recipe.HeldOut, seed: UInt64, processor: any ConversationProcessor) throws {
        self.processor = processor
        let mixture = SampleMixture(try heldOut.data.opened(for: processor), seed: seed)
        var questions: [Question] = []
        for number in 0..<heldOut.samples where questions.count < Self.count {
            let place = mixture.place(number), sample = try place.source.sample(at: place.index)
            guard let end = sample.conversation.firstIndex(where: { $0.role == .assistant }) else { continue }
            let asked = Array(sample.conversation[..<end])
            var pictures: [Image] = []
            for part in asked.flatMap(\.parts) {
                switch part {
                case .text: break
                case .image(let image): pictures.append(image)
                case .video(let video): pictures += video.frames.prefix(1)
                }
            }
            questions.append(
                Question(
                    sequence: try processor.process(asked, ProcessingOptions()),
                    shown: SampleAnswer(
                        id: sample.id, question: asked.last { $0.role == .user }?.text ?? "",
                        truth: sample.conversation[end].text, answer: "", pictures: pictures)))
        }
        self.questions = questions
    }

    /// What the model answers now, without chance.
    func callAsFunction(_ model: VisionLanguageModel) throws -> [SampleAnswer] {
        let options = GenerationOptions(maxTokens: Self.longestAnswer, stopTokens: processor.stopTokens)
        let results = try Generator(model).generate(questions.map(\.sequence), questions.map { _ in options })
        return try zip(questions, results).map { question, result in
            var shown = question.shown
            // A model that has learned little may choose ids that no token has.
            let known = result.tokens.filter { processor.tokenizer.token(for: $0) != nil }
            shown.answer = try processor.tokenizer.decode(known)
            return shown
        }
    }
}
