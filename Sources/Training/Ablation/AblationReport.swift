public import Foundation
internal import Terminal

/// A grid's results in one table.
public struct AblationReport: Sendable {
    public let grid: AblationGrid
    /// In the order of the grid's cells.
    public let results: [AblationRun.Result]

    public init(_ grid: AblationGrid, _ results: [AblationRun.Result]) {
        precondition(grid.cells.count == results.count, "a result for each cell")
        self.grid = grid
        self.results = results
    }

    /// A choice of an axis with the mean over all cells that have it.
    public struct Mean: Sendable, Equatable {
        public var axis: String
        public var choice: String
        public var loss: Double
        public var accuracy: Double
        public var cells: Int
    }

    /// What each choice is worth, all else being equal.
    public var means: [Mean] {
        grid.axes.enumerated().flatMap { index, axis in
            axis.choices.compactMap { choice in
                let own = results.filter { $0.choices[index] == choice.name }
                guard !own.isEmpty else { return nil }
                let count = Double(own.count)
                return Mean(
                    axis: axis.name, choice: choice.name, loss: own.reduce(0) { $0 + $1.loss } / count,
                    accuracy: own.reduce(0) { $0 + $1.accuracy } / count, cells: own.count)
            }
        }
    }

    /// Whether all cells learned from as many pictures, within a step's worth.
    public var hasEqualBudgets: Bool {
        guard let least = results.map(\.pictures).min(), let most = results.map(\.pictures).max() else { return true }
        return Double(most - least) <= 0.02 * Double(most)
    }

    /// The table as Markdown: a row a cell, and the means by choice.
    public var markdown: String {
        let hasBlind = results.contains { $0.blindLoss != nil }
        var header = grid.axes.map(\.name) + ["loss", "right"]
        if hasBlind { header += ["blind loss", "blind right"] }
        header += ["parameters", "pictures", "tokens", "seconds"]
        var lines = ["# \(grid.name)", ""] + Self.head(header, texts: grid.axes.count)
        for result in results {
            var row = result.choices + [Format.decimal(result.loss, 4), Format.percent(result.accuracy)]
            if hasBlind {
                row.append(result.blindLoss.map { Format.decimal($0, 4) } ?? "")
                row.append(result.blindAccuracy.map { Format.percent($0) } ?? "")
            }
            row += [
                Format.grouped(result.parameters), Format.grouped(result.pictures), Format.grouped(result.tokens),
                Format.decimal(result.seconds, 0),
            ]
            lines.append(Self.row(row))
        }
        lines += ["", "Means over all cells with a choice:", ""]
        lines += Self.head(["axis", "choice", "loss", "right", "cells"], texts: 2)
        for mean in means {
            lines.append(
                Self.row([
                    mean.axis, mean.choice, Format.decimal(mean.loss, 4), Format.percent(mean.accuracy),
                    "\(mean.cells)",
                ]))
        }
        lines.append("")
        if !hasEqualBudgets {
            lines += ["Cells learned from different numbers of pictures: limits of tokens or patches cut batches.", ""]
        }
        return lines.joined(separator: "\n")
    }

    /// All that is known, for programs.
    public func json() throws -> Data {
        struct Contents: Encodable {
            struct Row: Encodable {
                var choices: [String: String]
                var result: AblationRun.Result
            }
            var name: String
            var axes: [String]
            var cells: [Row]
        }
        let names = grid.axes.map(\.name)
        let contents = Contents(
            name: grid.name, axes: names,
            cells: results.map { result in
                .init(
                    choices: Dictionary(zip(names, result.choices), uniquingKeysWith: { $1 }), result: result)
            })
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(contents)
    }

    private static func row(_ cells: [String]) -> String {
        "| " + cells.map { $0.replacingOccurrences(of: "|", with: "\\|") }.joined(separator: " | ") + " |"
    }

    /// A table's first two lines; numbers stand to the right.
    private static func head(_ names: [String], texts: Int) -> [String] {
        [row(names), row(names.indices.map { $0 < texts ? "---" : "---:" })]
    }
}
