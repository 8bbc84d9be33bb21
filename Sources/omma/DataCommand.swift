import ArgumentParser
import Data
import Foundation
import Terminal

/// `omma data`: making and looking at data sets.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Make and check data sets.",
        subcommands: [Synthesize.self, Check.self, VocabularyCommand.self])

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
                \(SyntheticTask.allCases.map(\.rawValue).joined(separator: ", ")); or one that omma-nano was not trained \
                on: \(SyntheticTask.keptBack.map(\.rawValue).joined(separator: ", ")).
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

    /// `omma data check`: what is wrong with a file of conversations, all at once.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check", abstract: "Find the rows of a data set that cannot be used.",
            discussion: """
                Reads JSON lines (or one JSON list) in the `messages` format of Qwen2-VL fine-tuning or the \
                `conversations` format of LLaVA and ShareGPT, looks at every row and at the header of every picture, and \
                prints one line for each row that is wrong. Exit status 1 if there is any.
                """)

        @Argument(help: "The file.", completion: .file()) var file: String
        @Option(help: "Folder that names of pictures start from; that of the file unless said otherwise.")
        var images: String?
        @Option(help: "Pictures that no mark places: error, prepend or drop.") var unmarked = "error"

        func run() throws {
            guard let unmarked = UnmarkedPictures(rawValue: unmarked) else {
                throw ValidationError("--unmarked is one of error, prepend and drop")
            }
            let data = try ConversationFile(
                URL(fileURLWithPath: Paths.expanded(file)),
                images: images.map { URL(fileURLWithPath: Paths.expanded($0)) }, unmarked: unmarked)
            let bar = ProgressBar("checking", total: data.count, unit: "row")
            let problems = data.problems { bar.update(to: $0) }
            bar.finish()
            for problem in problems { print(problem) }
            print("\(data.count) rows, \(problems.count) of them wrong")
            if !problems.isEmpty { throw ExitCode(1) }
        }
    }
}
