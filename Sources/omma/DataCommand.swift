import ArgumentParser
import Data
import Foundation

/// `omma data`: making and looking at data sets.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Make data sets.", subcommands: [Synthesize.self, VocabularyCommand.self])

    /// `omma data synth`: labelled pictures, drawn.
    struct Synthesize: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "synth", abstract: "Draw labelled pictures with questions and answers.",
            discussion: """
                Writes images, data.jsonl (the `messages` format of Qwen2-VL fine-tuning) and manifest.json into a new \
                directory. The same options give the same data.
                """)

        @Option(help: "The directory to make.") var out: String
        @Option(help: "How many pictures.") var count: Int
        @Option(help: "Samples are a function of the seed and their index.") var seed: UInt64 = 0
        @Option(help: "Index of the first sample.") var start = 0
        @Option(
            help: """
                Only this task; may be repeated. One of \
                \(SyntheticTask.allCases.map(\.rawValue).joined(separator: ", ")).
                """) var task: [String] = []
        @Flag(help: "Draw the held-out split: other pictures, and fonts that training never shows.") var heldOut = false
        @Flag(help: "Ask one question a picture, as for evaluation.") var single = false
        @Option(help: "Clutter, noise and JPEG artefacts, 0 to 1.") var difficulty = 0.5
        @Option(help: "The part of pictures asked about in Chinese, 0 to 1.") var chinese = 0.35
        @Option(help: "Also write the first 30 samples on one picture, to look at.") var sheet: String?

        func run() throws {
            var options = SyntheticOptions(
                seed: seed, split: heldOut ? .heldOut : .train, turns: single ? .single : .several,
                chineseShare: chinese, difficulty: difficulty)
            if !task.isEmpty {
                options.weights = [:]
                for name in task {
                    guard let task = SyntheticTask(rawValue: name) else {
                        throw ValidationError("there is no task \"\(name)\"; see omma help data synth")
                    }
                    options.weights[task] = 1
                }
            }
            let generator = try SyntheticGenerator(options)
            let manifest = try generator.write(to: URL(fileURLWithPath: out), count: count, from: start) { done in
                FileHandle.standardError.write(Data("\r\(done) of \(count) pictures".utf8))
            }
            FileHandle.standardError.write(Data("\n".utf8))
            if let sheet {
                let samples = try (start..<start + min(count, 30)).map(generator.sample)
                try Data(ContactSheet().png(samples)).write(to: URL(fileURLWithPath: sheet), options: .atomic)
            }
            let tasks = manifest.tasks.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            print("\(out): \(manifest.count) pictures, \(manifest.turns) questions (\(tasks.joined(separator: ", ")))")
        }
    }
}
