public import Foundation
internal import Yams

/// Where a user's data lies, by the roles that published recipes name: a YAML file such as
///
///     captions: {jsonl: /data/captions.jsonl, images: /data/pictures}
///     text:
///       - {jsonl: /data/chat.jsonl, weight: 2}
///       - {jsonl: /data/code.jsonl}
///
/// Several files of a role share its weight by theirs. Paths are relative to the catalogue's folder.
public struct DataCatalogue {
    private var roles: [String: [Node]] = [:]

    /// - Throws: `RecipeError` with file, line and key of the first mistake.
    public init(_ url: URL) throws {
        let text: String
        do { text = try String(contentsOf: url, encoding: .utf8) } catch {
            throw RecipeError(file: url.path, reason: "cannot be read; give the path of a data catalogue in YAML")
        }
        let root: Node
        do { root = try Yams.compose(yaml: text) ?? Node("") } catch let error as YamlError {
            throw RecipeError(file: url.path, reason: "is not valid YAML: \(error)")
        }
        let folder = url.deletingLastPathComponent()
        guard case .mapping(let mapping) = root else {
            throw RecipeError(file: url.path, line: root.mark?.line, reason: "must be a list of `role: data` lines")
        }
        for (key, value) in mapping {
            let items = value.sequence.map(Array.init) ?? [value]
            let name = key.string ?? ""
            roles[name] = try items.enumerated().map { index, item in
                let path = items.count == 1 ? name : "\(name).\(index)"
                // Read as a source of data, so that mistakes are told where they are.
                let node = try RecipeNode(file: url.path, path: path, node: item)
                let source = try Recipe.Source(node, folder: folder)
                if case .role = source.kind { throw node.failure("role", "stands where a file must") }
                return Self.absolute(item, folder)
            }
        }
    }

    private static func absolute(_ item: Node, _ folder: URL) -> Node {
        guard var mapping = item.mapping else { return item }
        for field in ["jsonl", "images"] {
            if let path = mapping[Node(field)]?.string { mapping[Node(field)] = Node(resolved(path, folder)) }
        }
        return .mapping(mapping)
    }

    /// The tree of a recipe with data in place of the roles that the catalogue knows.
    func applied(to root: Node) -> Node {
        switch root {
        case .mapping(var mapping):
            for (key, value) in mapping {
                if key.string == "data", case .sequence(let items) = value,
                    items.contains(where: { $0.mapping?["role"] != nil })
                {
                    mapping[key] = Node(items.flatMap(data(of:)))
                } else {
                    mapping[key] = applied(to: value)
                }
            }
            return .mapping(mapping)
        case .sequence(var items):
            // In place: lines of what stays are told in errors.
            for index in items.indices { items[index] = applied(to: items[index]) }
            return .sequence(items)
        default: return root
        }
    }

    private func data(of source: Node) -> [Node] {
        guard let name = source.mapping?["role"]?.string, let items = roles[name] else { return [source] }
        func weight(_ node: Node) -> Double { node.mapping?["weight"]?.float ?? 1 }
        let sum = items.reduce(0) { $0 + weight($1) }
        return items.map { item in
            guard var mapping = item.mapping else { return item }
            mapping["weight"] = Node(String(weight(source) * weight(item) / (sum > 0 ? sum : 1)))
            if let share = source.mapping?["lowest_perplexity"] { mapping["lowest_perplexity"] = share }
            return .mapping(mapping)
        }
    }
}

/// A path that may start from a folder.
func resolved(_ path: String, _ folder: URL) -> String {
    path.hasPrefix("/") ? path : folder.appendingPathComponent(path).standardizedFileURL.path
}
