internal import Foundation
internal import Models
internal import Yams

/// A mapping of the YAML file, read field by field. What is left unread at the end is an error, so that a misspelled
/// key cannot pass silently.
final class RecipeNode {
    let file: String
    let path: String
    private let mapping: Node.Mapping
    private var used: Set<String> = []

    init(file: String, path: String, node: Node) throws {
        guard case .mapping(let mapping) = node else {
            throw RecipeError(
                file: file, line: node.mark?.line, key: path, reason: "must be a list of `key: value` lines")
        }
        self.file = file
        self.path = path
        self.mapping = mapping
    }

    /// A file's tree as it was read.
    struct Root {
        let file: String
        let node: Node
    }

    /// Reads a file of YAML.
    static func root(of url: URL) throws -> Root {
        let text: String
        do { text = try String(contentsOf: url, encoding: .utf8) } catch {
            throw RecipeError(file: url.path, reason: "cannot be read; give the path of a file in YAML")
        }
        return try root(of: text, file: url.path)
    }

    static func root(of text: String, file: String) throws -> Root {
        do {
            guard let node = try Yams.compose(yaml: text) else { throw RecipeError(file: file, reason: "is empty") }
            return Root(file: file, node: node)
        } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
            throw RecipeError(
                file: file, line: context.mark.line, key: keys.sorted().joined(separator: ", "),
                reason: "is there twice")
        } catch let error as YamlError {
            throw RecipeError(file: file, reason: "is not valid YAML: \(error)")
        }
    }

    private func key(_ field: String) -> String { path.isEmpty ? field : "\(path).\(field)" }

    func failure(_ field: String, _ reason: String, at node: Node? = nil) -> RecipeError {
        let found = node ?? mapping.first { $0.key.string == field }?.key
        return RecipeError(
            file: file, line: found?.mark?.line ?? mapping.mark?.line, key: key(field), reason: reason)
    }

    func has(_ field: String) -> Bool { node(field) != nil }

    private func node(_ field: String) -> Node? {
        used.insert(field)
        guard let found = mapping.first(where: { $0.key.string == field })?.value else { return nil }
        return found.null == nil ? found : nil
    }

    private func required(_ field: String) throws -> Node {
        guard let found = node(field) else { throw failure(field, "is missing") }
        return found
    }

    func string(_ field: String) throws -> String {
        let found = try required(field)
        guard case .scalar(let scalar) = found, !scalar.string.isEmpty else {
            throw failure(field, "must be a text", at: found)
        }
        return scalar.string
    }

    func string(_ field: String, default fallback: String) throws -> String {
        has(field) ? try string(field) : fallback
    }

    func choice<Value: RawRepresentable & CaseIterable>(_ field: String, default fallback: Value?) throws -> Value
    where Value.RawValue == String {
        if let fallback, !has(field) { return fallback }
        let text = try string(field)
        guard let value = Value(rawValue: text) else {
            let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw failure(field, "is '\(text)'; use one of \(known)")
        }
        return value
    }

    func integer(_ field: String, default fallback: Int? = nil, in range: ClosedRange<Int>) throws -> Int {
        if let fallback, !has(field) { return fallback }
        let found = try required(field)
        guard let value = found.int, range.contains(value) else {
            throw failure(
                field,
                "is '\(found.string ?? "a list")', not a whole number from \(range.lowerBound) to \(range.upperBound)",
                at: found)
        }
        return value
    }

    func number(_ field: String, default fallback: Double? = nil, in range: ClosedRange<Double>) throws -> Double {
        if let fallback, !has(field) { return fallback }
        let found = try required(field)
        guard let value = found.float, range.contains(value) else {
            throw failure(
                field, "is '\(found.string ?? "a list")', not a number from \(range.lowerBound) to \(range.upperBound)",
                at: found)
        }
        return value
    }

    func flag(_ field: String) throws -> Bool {
        let found = try required(field)
        guard let value = found.bool else { throw failure(field, "must be true or false", at: found) }
        return value
    }

    func flag(_ field: String, default fallback: Bool) throws -> Bool {
        guard let found = node(field) else { return fallback }
        guard let value = found.bool else { throw failure(field, "must be true or false", at: found) }
        return value
    }

    /// A list of texts, or one text.
    func strings(_ field: String) throws -> [String] {
        let found = try required(field)
        if case .scalar(let scalar) = found { return [scalar.string] }
        guard case .sequence(let items) = found, !items.isEmpty else {
            throw failure(field, "must be a list of texts", at: found)
        }
        return try items.map { item in
            guard case .scalar(let scalar) = item else { throw failure(field, "must be a list of texts", at: item) }
            return scalar.string
        }
    }

    func numbers(_ field: String, count: Int) throws -> [Double] {
        let found = try required(field)
        guard case .sequence(let items) = found, items.count == count else {
            throw failure(field, "must be a list of \(count) numbers", at: found)
        }
        return try items.map { item in
            guard let value = item.float, value.isFinite else {
                throw failure(field, "must be a list of numbers", at: item)
            }
            return value
        }
    }

    func mapping(_ field: String) throws -> RecipeNode? {
        try node(field).map { try RecipeNode(file: file, path: key(field), node: $0) }
    }

    func mappings(_ field: String) throws -> [RecipeNode] {
        let found = try required(field)
        guard case .sequence(let items) = found, !items.isEmpty else {
            throw failure(field, "must be a list that is not empty", at: found)
        }
        return try items.enumerated().map { index, item in
            try RecipeNode(file: file, path: "\(key(field)).\(index)", node: item)
        }
    }

    /// All keys, in order, of a mapping whose keys are free.
    var keys: [String] { mapping.map { $0.key.string ?? "" } }

    func isList(_ field: String) -> Bool {
        if case .sequence? = node(field) { return true }
        return false
    }

    func isMapping(_ field: String) -> Bool {
        if case .mapping? = node(field) { return true }
        return false
    }

    func isEmptyList(_ field: String) -> Bool { node(field)?.sequence?.isEmpty == true }

    /// The items of a list, whatever they are.
    func items(_ field: String) throws -> [Node] {
        let found = try required(field)
        guard case .sequence(let items) = found, !items.isEmpty else {
            throw failure(field, "must be a list that is not empty", at: found)
        }
        return Array(items)
    }

    /// A mapping as JSON, for files that are written in it; nil where the field is missing.
    func json(_ field: String) throws -> JSONValue? {
        guard let found = node(field) else { return nil }
        guard case .mapping = found else {
            throw failure(field, "must be a list of `key: value` lines", at: found)
        }
        return Self.json(found)
    }

    private static func json(_ node: Node) -> JSONValue {
        switch node {
        case .mapping(let mapping):
            .object(
                Dictionary(mapping.map { ($0.key.string ?? "", json($0.value)) }, uniquingKeysWith: { $1 }))
        case .sequence(let items): .array(items.map(json))
        default:
            if node.null != nil {
                .null
            } else if let value = node.bool {
                .bool(value)
            } else if let value = node.float {
                .number(value)
            } else {
                .string(node.string ?? "")
            }
        }
    }

    /// All keys of a mapping whose keys are free, with numbers as values.
    func numbersByKey(in range: ClosedRange<Double>) throws -> [(key: String, value: Double)] {
        try mapping.map { pair in
            let name = pair.key.string ?? ""
            return (name, try number(name, in: range))
        }
    }

    /// Throws if a key was not read.
    func finish() throws {
        guard let unknown = mapping.first(where: { !used.contains($0.key.string ?? "") }) else { return }
        let known = used.sorted().joined(separator: ", ")
        throw failure(unknown.key.string ?? "?", "is not known here; known keys are \(known)", at: unknown.key)
    }
}
