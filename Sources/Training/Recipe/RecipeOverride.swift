internal import Yams

/// One `--set KEY=VALUE`: a value that replaces the one at a path of the recipe, such as `stages.align.steps=10`.
///
/// An item of a list is named by its number or by its `name`.
struct RecipeOverride {
    let path: [String]
    let value: Node

    /// - Parameter key: the path with dots.
    init(_ key: String, _ value: Node) {
        path = key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        self.value = value
    }

    init(_ text: String) throws {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw RecipeError(file: "--set", reason: "'\(text)' is not KEY=VALUE")
        }
        path = parts[0].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        do {
            value = try Yams.compose(yaml: parts[1]) ?? Node("")
        } catch {
            throw RecipeError(file: "--set", key: parts[0], reason: "has a value that is no YAML: \(parts[1])")
        }
    }

    private func failure(_ depth: Int, _ reason: String) -> RecipeError {
        RecipeError(file: "--set", key: path.prefix(depth + 1).joined(separator: "."), reason: reason)
    }

    /// The tree with the value put in its place.
    func applied(to node: Node, depth: Int = 0) throws -> Node {
        if depth == path.count { return value }
        let name = path[depth]
        switch node {
        case .mapping(var mapping):
            let inner = mapping.first { $0.key.string == name }?.value
            if inner == nil, depth + 1 < path.count {
                mapping[Node(name)] = try applied(to: Node.mapping(.init([])), depth: depth + 1)
            } else {
                mapping[Node(name)] = try applied(to: inner ?? Node(""), depth: depth + 1)
            }
            return .mapping(mapping)
        case .sequence(var items):
            let index = Int(name) ?? items.firstIndex { $0.mapping?["name"]?.string == name } ?? -1
            guard items.indices.contains(index) else {
                throw failure(depth, "names no item of a list of \(items.count)")
            }
            items[index] = try applied(to: items[index], depth: depth + 1)
            return .sequence(items)
        default:
            throw failure(depth, "leads through a value that has no keys")
        }
    }
}
