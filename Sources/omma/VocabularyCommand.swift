import ArgumentParser
import Data
import Text

/// `omma data vocabulary`: how the vocabulary of a small model was made.
struct VocabularyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vocabulary", abstract: "Learn a byte-level BPE vocabulary from synthetic questions and answers.",
        shouldDisplay: false)

    @Option(help: "The folder to write the tokenizer to.", completion: .directory)
    var out: String

    @Option(help: "Entries, special tokens among them.")
    var size = 1200

    @Option(help: "Samples to read.")
    var count = 20_000

    @Option(help: "Where the random numbers start.")
    var seed: UInt64 = 0

    func run() throws {
        let generator = try SyntheticGenerator(SyntheticOptions(seed: seed))
        // What every prompt begins with is learned too.
        var texts = ["You are a helpful assistant.", "system\n", "user\n", "assistant\n"]
        for index in 0..<count {
            for turn in try generator.sample(at: index).turns { texts += [turn.question, turn.answer] }
        }
        let vocabulary = try BPETrainer.train(texts: texts, vocabularySize: size)
        try vocabulary.write(to: out)
        let tokenizer = try vocabulary.tokenizer()
        let tokens = try texts.reduce(0) { $0 + (try tokenizer.encode($1).count) }
        let bytes = texts.reduce(0) { $0 + $1.utf8.count }
        print("\(vocabulary.count) entries; \(tokens) tokens for \(bytes) bytes of \(texts.count) texts")
    }
}
