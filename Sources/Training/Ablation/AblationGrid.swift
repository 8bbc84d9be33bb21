public import Foundation
internal import Yams

/// A grid of runs, as MM1 was designed by (McKinzie et al. 2024, section 3): one recipe, axes whose choices replace keys
/// of it, and a cell for every combination.
///
/// Read from YAML:
///
///     name: connectors
///     recipe: nano/mm1.yaml              # relative to this file
///     output: runs/connectors            # relative to the working directory; this is the default
///     set: [stages.lesson.steps=100]     # for all cells
///     axes:
///       tokens: {key: model.config.connector.tokens, set: [4, 16]}
///       data:
///         set:
///           colours: ["stages.lesson.data.0.synthetic.tasks={color: 1}"]
///           both: []
public struct AblationGrid: Sendable {
    public struct Choice: Sendable, Equatable {
        public var name: String
        /// Keys and values in words.
        public var settings: [String]
    }

    public struct Axis: Sendable, Equatable {
        public var name: String
        public var choices: [Choice]
    }

    /// One combination, as a recipe of its own.
    public struct Cell: Sendable {
        /// A name of a choice for each axis.
        public var choices: [String]
        public var loaded: Recipe.Loaded

        /// The folder that the cell's run writes.
        public var folder: URL { URL(fileURLWithPath: loaded.recipe.output) }
    }

    public var name: String
    public var output: String
    public var axes: [Axis]
    /// The last axis changes fastest.
    public var cells: [Cell]

    /// More cells than anybody waits for are a mistake.
    public static let cellLimit = 1024

    /// Reads a grid and the recipe of every cell.
    ///
    /// - Parameter overrides: `KEY=VALUE` for the recipes of all cells, after the grid's own.
    /// - Throws: `RecipeError` with file, line and key of the first mistake; for a cell, with its choices.
    public static func load(_ url: URL, overrides: [String] = []) throws -> AblationGrid {
        let root = try RecipeNode.root(of: url)
        return try AblationGrid(
            RecipeNode(file: root.file, path: "", node: root.node), folder: url.deletingLastPathComponent(),
            overrides: overrides)
    }

    init(_ node: RecipeNode, folder: URL, overrides: [String]) throws {
        name = try node.string("name")
        output = try node.string("output", default: "runs/\(name)")
        let path = try node.string("recipe")
        let file = path.hasPrefix("/") ? URL(fileURLWithPath: path) : folder.appendingPathComponent(path)
        let common = node.has("set") ? try node.strings("set") : []
        guard let listed = try node.mapping("axes"), !listed.keys.isEmpty else {
            throw node.failure("axes", "is missing; name one axis at least")
        }
        var values: [[(choice: Choice, replacements: [RecipeOverride])]] = []
        for axis in listed.keys {
            guard let axisNode = try listed.mapping(axis) else { throw listed.failure(axis, "is empty") }
            values.append(try Self.choices(axisNode))
        }
        axes = zip(listed.keys, values).map { Axis(name: $0, choices: $1.map(\.choice)) }
        try node.finish()

        let count = values.reduce(1) { $0.multipliedReportingOverflow(by: $1.count).partialValue }
        guard count <= Self.cellLimit, values.allSatisfy({ $0.count <= Self.cellLimit }) else {
            throw node.failure("axes", "make \(count) cells; the limit is \(Self.cellLimit)")
        }
        let root = try RecipeNode.root(of: file.standardizedFileURL)
        let shared = try (common + overrides).map { try RecipeOverride($0) }
        cells = []
        var folders: Set<String> = []
        for number in 0..<count {
            var rest = number
            let picks = values.reversed().map { axis in
                defer { rest /= axis.count }
                return axis[rest % axis.count]
            }.reversed()
            let names = picks.map(\.choice.name)
            let slug = Self.folderName(zip(axes.map(\.name), names))
            guard folders.insert(slug).inserted else {
                throw node.failure("axes", "have two cells named \(slug); give their choices names that differ")
            }
            let place = RecipeOverride("output", Node("\(output)/cells/\(slug)"))
            let loaded: Recipe.Loaded
            do {
                loaded = try Recipe.read(
                    root, folder: file.deletingLastPathComponent().standardizedFileURL,
                    replacing: shared + picks.flatMap(\.replacements) + [place])
            } catch let error as RecipeError {
                throw RecipeError(
                    file: error.file, line: error.line, key: error.key,
                    reason: error.reason + " (in the cell \(names.joined(separator: ", ")))")
            }
            guard loaded.recipe.heldOut != nil, let last = loaded.recipe.stages.last, last.evaluateEvery > 0 else {
                throw RecipeError(
                    file: file.path, key: "held_out",
                    reason: "and evaluate_every of the last stage are needed: cells are compared by them")
            }
            cells.append(Cell(choices: names, loaded: loaded))
        }
    }

    /// `key` with a list of values, or names of choices with lists of `KEY=VALUE`.
    private static func choices(_ node: RecipeNode) throws -> [(choice: Choice, replacements: [RecipeOverride])] {
        var result: [(choice: Choice, replacements: [RecipeOverride])] = []
        if node.isList("set") {
            let key = try node.string("key")
            for value in try node.items("set") {
                let text = try Yams.serialize(node: value, width: -1, allowUnicode: true)
                    .trimmingCharacters(in: .whitespacesAndNewlines)
                let name = value.string ?? text
                result.append((Choice(name: name, settings: ["\(key)=\(name)"]), [RecipeOverride(key, value)]))
            }
        } else {
            guard let named = try node.mapping("set"), !named.keys.isEmpty else {
                throw node.failure("set", "is missing: values of a key, or names with lists of KEY=VALUE")
            }
            for name in named.keys {
                let settings = named.isEmptyList(name) ? [] : try named.strings(name)
                result.append((Choice(name: name, settings: settings), try settings.map { try RecipeOverride($0) }))
            }
        }
        var names: Set<String> = []
        for (choice, _) in result where !names.insert(choice.name).inserted {
            throw node.failure("set", "has '\(choice.name)' twice")
        }
        try node.finish()
        return result
    }

    /// Names of axes and choices with what folders' names may hold.
    private static func folderName(_ choices: some Sequence<(String, String)>) -> String {
        func plain(_ text: String) -> String {
            String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-") ? $0 : "-" })
        }
        return choices.map { "\(plain($0))=\(plain($1))" }.joined(separator: ",")
    }
}
