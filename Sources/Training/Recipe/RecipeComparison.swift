internal import Foundation
internal import Yams

/// What changed between two recipes.
enum RecipeComparison {
    /// Top-level keys that may change between the parts of a run: they do not touch what is learned.
    private static let free: Set<String> = [
        "device", "keep", "workers", "threads", "output", "sharding", "parallel", "max_skipped_steps",
        "max_skipped_samples", "sample_timeout",
    ]

    /// Fields by their dotted paths that one recipe has otherwise than the other: `- stages.first.steps: 4` for the old
    /// value and the same with + for the new one.
    ///
    /// - Parameter allowed: fields, or what stands above them, that may differ.
    static func differences(_ old: String, _ new: String, allowed: Set<String> = []) -> [String] {
        let before = fields(old), after = fields(new)
        let paths = before.map(\.path) + after.map(\.path).filter { path in !before.contains { $0.path == path } }
        let was = Dictionary(before) { $1 }, now = Dictionary(after) { $1 }
        return paths.flatMap { path -> [String] in
            guard was[path] != now[path], !isAllowed(path, allowed) else { return [] }
            return [was[path].map { "- \(path): \($0)" }, now[path].map { "+ \(path): \($0)" }].compactMap(\.self)
        }
    }

    /// Whether a field or what stands above it is among those that may differ.
    static func isAllowed(_ path: String, _ allowed: Set<String>) -> Bool {
        if let first = path.split(separator: ".").first, free.contains(String(first)) { return true }
        return allowed.contains { path == $0 || path.hasPrefix($0 + ".") }
    }

    /// All values with their paths, as `--set` names them.
    private static func fields(_ text: String) -> [(path: String, value: String)] {
        guard let node = try? Yams.compose(yaml: text) else { return [("recipe", text)] }
        var result: [(path: String, value: String)] = []
        collect(node, "", &result)
        return result
    }

    private static func collect(_ node: Node, _ path: String, _ result: inout [(path: String, value: String)]) {
        func below(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
        switch node {
        case .mapping(let mapping) where !mapping.isEmpty:
            for (key, value) in mapping { collect(value, below(key.string ?? "?"), &result) }
        case .sequence(let items) where items.contains { $0.scalar == nil }:
            for (index, item) in items.enumerated() {
                collect(item, below(item.mapping?["name"]?.string ?? String(index)), &result)
            }
        default:
            let value = (try? Yams.serialize(node: node, width: -1, allowUnicode: true)) ?? ""
            let lines = value.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            result.append((path, lines.joined(separator: " ")))
        }
    }
}
