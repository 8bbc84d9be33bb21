internal import Foundation
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
