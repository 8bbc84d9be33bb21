import ArgumentParser
import Data
import Foundation
import Inference
import Media
import Models
import Terminal

/// `omma demo`: fresh pictures, one question about each, and a page to look at.
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Draw fresh pictures, ask the model about each, and show what it answers.",
        discussion: """
            The pictures come from the held-out split, which training never sees: other pictures, and for half of those \
            with text another font. Writes them and a page, index.html, into the folder.
            """)

    @OptionGroup var model: ModelOptions
    @Option(help: "The folder for pictures and page.", completion: .directory) var out = "out/demo"
    @Option(help: "How many pictures; the tasks take turns.") var count = 8
    @Option(help: "Equal seeds give equal pictures; without it a new one is drawn and printed.") var seed: UInt64?
    @Option(help: "The longest answer, in tokens.") var maxTokens = 256

    func validate() throws {
        guard (1...1000).contains(count) else {
            throw ValidationError("--count is \(count); it must be from 1 to 1000")
        }
        guard maxTokens > 0 else { throw ValidationError("--max-tokens is \(maxTokens); it must be 1 or more") }
    }

    func run() throws {
        let engine = try model.load()
        let seed = seed ?? UInt64.random(in: 1..<1_000_000)
        let folder = URL(filePath: Paths.expanded(out))
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let bar = ProgressBar("asking", total: count, unit: "picture")
        var results: [DemoResult] = []
        for index in 0..<count {
            results.append(try ask(engine, seed: seed, index: index))
            bar.advance()
        }
        bar.finish()
        let name = engine.folder.url.lastPathComponent
        let page = folder.appending(path: "index.html")
        try Data(DemoPage(model: name, seed: seed, results: results).html.utf8).write(to: page, options: .atomic)
        let right = results.count { $0.isRight }
        let output = TerminalOutput.standardOutput
        output.line(table(results, output).text())
        output.line("\n\(right) of \(count) right; seed \(seed) (--seed \(seed) asks the same again)")
        output.line("page: \(out)/index.html")
    }

    private func ask(_ engine: ChatEngine, seed: UInt64, index: Int) throws -> DemoResult {
        let task = SyntheticTask.allCases[index % SyntheticTask.allCases.count]
        let generator = try SyntheticGenerator(
            SyntheticOptions(seed: seed, split: .heldOut, turns: .single, weights: SyntheticOptions.only(task)))
        let sample = try generator.sample(at: index)
        guard let turn = sample.turns.first else { throw DemoError.noQuestion(index) }
        let path = "\(out)/\(index + 1)-\(task.rawValue).png"
        let png = try sample.image.pngData()
        try Data(png).write(to: URL(filePath: Paths.expanded(path)), options: .atomic)
        let start = ContinuousClock.now
        let answer = try engine.answer(
            [Message(.user, [.image(sample.image), .text(turn.question)])], maxTokens: maxTokens, sampling: .greedy)
        return DemoResult(
            task: task, language: sample.metadata.language, width: sample.image.width, height: sample.image.height,
            png: png, path: path, question: turn.question, answer: answer.markedText, truth: turn.answer,
            isRight: Scoring.isCorrect(answer.markedText, turn.answer, task: task),
            seconds: (ContinuousClock.now - start).seconds)
    }

    /// On a terminal the cells are cut so that a row stays a line; elsewhere all of them is there.
    private func table(_ results: [DemoResult], _ output: TerminalOutput) -> Table {
        let path = results.reduce(0) { max($0, $1.path.displayWidth) }
        let room = max(30, output.columns - path - 12)
        func cell(_ text: String, _ share: Double) -> String {
            let line = DemoResult.line(text)
            return output.isTerminal ? line.truncated(to: Int(Double(room) * share)) : line
        }
        var table = Table([.init("picture"), .init("question"), .init("answer"), .init("truth"), .init("right")])
        for result in results {
            table.add(
                result.path, cell(result.question, 0.4), cell(result.answer, 0.3), cell(result.truth, 0.3),
                result.isRight ? "yes" : "no")
        }
        return table
    }
}

/// What the demo cannot do.
private enum DemoError: Error, CustomStringConvertible {
    case noQuestion(Int)

    var description: String {
        switch self {
        case .noQuestion(let index): "picture \(index + 1) came without a question; try another --seed"
        }
    }
}
