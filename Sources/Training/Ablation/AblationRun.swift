internal import Foundation
internal import Models
internal import NN
internal import Safetensors
public import Terminal

/// Trains the cells of a grid, one after another, and keeps what came out of each: a finished cell is not run again, a
/// stopped one goes on.
public struct AblationRun {
    /// What a cell came to.
    public struct Result: Codable, Sendable, Equatable {
        /// By axis, in the grid's order.
        public var choices: [String]
        /// On held-out samples, at the end.
        public var loss: Double
        public var accuracy: Double
        /// The same with noise for pictures, where the recipe has `held_out.blind`.
        public var blindLoss: Double?
        public var blindAccuracy: Double?
        public var parameters: Int
        public var steps: Int
        /// Pictures and tokens that it learned from: the budget.
        public var pictures: Int
        public var tokens: Int
        public var seconds: Double
        /// The cell's recipe, to be compared with the one that is asked for.
        var recipe: String
    }

    public enum State: String, Sendable {
        case new, started, done
    }

    public let grid: AblationGrid
    private let output: TerminalOutput

    public init(_ grid: AblationGrid, output: TerminalOutput = .standardError) {
        self.grid = grid
        self.output = output
    }

    private static func file(_ cell: AblationGrid.Cell) -> URL { cell.folder.appendingPathComponent("result.json") }

    /// What was kept of a cell; nil where it is not done.
    ///
    /// - Throws: `AblationError.changed` where it was another recipe that is done.
    public func result(of cell: AblationGrid.Cell) throws -> Result? {
        guard let data = try? Data(contentsOf: Self.file(cell)),
            let result = try? JSONDecoder().decode(Result.self, from: data)
        else { return nil }
        let changes = RecipeComparison.differences(result.recipe, cell.loaded.text)
        if !changes.isEmpty { throw AblationError.changed(folder: cell.folder.path, lines: changes) }
        return result
    }

    public func state(of cell: AblationGrid.Cell) throws -> State {
        if try result(of: cell) != nil { return .done }
        return CheckpointStore(output: cell.folder, keep: 1).folders().isEmpty ? .new : .started
    }

    /// Builds every cell's model without memory, so that a cell that cannot be built does not end a grid after hours.
    public func check() throws {
        for cell in grid.cells {
            do {
                let model = cell.loaded.recipe.model
                let file = URL(fileURLWithPath: model.folder).appendingPathComponent("config.json")
                let reader = try ConfigurationReader(contentsOf: file, merging: model.configuration)
                _ = try ModelRegistry.described(reader).makeParameters(ParameterStore(.shapes))
            } catch {
                throw AblationError.cell(cell.choices, "\(error)")
            }
        }
    }

    /// Trains what is not done yet.
    ///
    /// - Returns: the results of all cells, or nil where a signal asked to stop; what is done is kept.
    public func run() throws -> [Result]? {
        try check()
        var results: [Result] = []
        for (number, cell) in grid.cells.enumerated() {
            let title = "cell \(number + 1) of \(grid.cells.count), \(cell.choices.joined(separator: ", "))"
            if let result = try result(of: cell) {
                output.line("\(title): done before")
                results.append(result)
                continue
            }
            output.line(title)
            let isStarted = try state(of: cell) == .started
            do {
                guard let result = try train(cell, resume: isStarted) else { return nil }
                results.append(result)
            } catch {
                throw AblationError.cell(cell.choices, "\(error)")
            }
        }
        return results
    }

    private func train(_ cell: AblationGrid.Cell, resume: Bool) throws -> Result? {
        let log = try RunLog(folder: cell.folder, output: output)
        defer { log.finish() }
        let observer = LastEvaluation(log)
        let trainer = try cell.loaded.trainer(resume: resume, observer: observer)
        guard case .finished = try trainer.run() else { return nil }
        // A run that was stopped behind its last step has its last evaluation in the log only.
        let record = try observer.last ?? trainer.evaluate()
        guard let record else { return nil }
        let counters = trainer.counters
        let result = Result(
            choices: cell.choices, loss: record.loss, accuracy: record.accuracy, blindLoss: record.blind?.loss,
            blindAccuracy: record.blind?.accuracy,
            parameters: trainer.parameterCount, steps: trainer.step,
            pictures: counters.pictures, tokens: counters.tokens, seconds: counters.seconds, recipe: cell.loaded.text)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try atomicWrite(Self.file(cell).path, encoder.encode(result))
        return result
    }
}

/// A grid that cannot go on.
public enum AblationError: Error, Sendable, CustomStringConvertible {
    case changed(folder: String, lines: [String])
    case cell([String], String)

    public var description: String {
        switch self {
        case .changed(let folder, let lines):
            "\(folder) is done, with a recipe that differs from the grid's:\n  " + lines.joined(separator: "\n  ")
                + "\nremove the folder to run it again, or choose another output"
        case .cell(let choices, let reason): "cell \(choices.joined(separator: ", ")): \(reason)"
        }
    }
}

/// Hands everything on, and remembers the last evaluation.
private final class LastEvaluation: TrainingObserver {
    private let next: any TrainingObserver
    private(set) var last: EvaluationRecord?

    init(_ next: any TrainingObserver) { self.next = next }

    func begin(_ run: RunFacts) { next.begin(run) }
    func begin(_ stage: StageSummary) { next.begin(stage) }
    func step(_ record: StepRecord) { next.step(record) }
    func evaluation(_ record: EvaluationRecord) {
        last = record
        next.evaluation(record)
    }
    func answers(_ answers: [SampleAnswer], step: Int) { next.answers(answers, step: step) }
    func checkpoint(_ folder: URL, step: Int) { next.checkpoint(folder, step: step) }
    func skipped(_ samples: [SkippedSample], step: Int) { next.skipped(samples, step: step) }
    func note(_ line: String) { next.note(line) }
}
