/// A JSON value together with the way to it, so that every complaint names the field.
struct JSONField: Sendable {
    let node: JSONNode
    let path: String

    private func wrong(_ expected: String) -> TokenizerError {
        .invalidField(path, reason: "expected \(expected), found \(node.kind)")
    }

    /// The member with this name; the last one where a name is repeated. `nil` if absent or null.
    func optional(_ name: String) throws(TokenizerError) -> JSONField? {
        guard case .object(let members) = node else { throw wrong("an object") }
        let key = Array(name.utf8)
        guard let member = members.last(where: { $0.key == key }) else { return nil }
        if case .null = member.value { return nil }
        return JSONField(node: member.value, path: path.isEmpty ? name : path + "." + name)
    }

    func required(_ name: String) throws(TokenizerError) -> JSONField {
        guard let field = try optional(name) else {
            throw .invalidField(path.isEmpty ? name : path + "." + name, reason: "it is missing")
        }
        return field
    }

    func bytes() throws(TokenizerError) -> [UInt8] {
        guard case .string(let bytes) = node else { throw wrong("a string") }
        return bytes
    }

    func string() throws(TokenizerError) -> String {
        String(decoding: try bytes(), as: UTF8.self)
    }

    func bool() throws(TokenizerError) -> Bool {
        guard case .bool(let value) = node else { throw wrong("true or false") }
        return value
    }

    /// An integer in `0 ..< limit`.
    func integer(below limit: Int) throws(TokenizerError) -> Int {
        guard case .number(let value) = node else { throw wrong("a number") }
        guard value >= 0, value < Double(limit), value == value.rounded() else {
            throw .invalidField(path, reason: "\(value) is not an integer from 0 to \(limit - 1)")
        }
        return Int(value)
    }

    func items() throws(TokenizerError) -> [JSONField] {
        guard case .array(let items) = node else { throw wrong("a list") }
        return items.indices.map { JSONField(node: items[$0], path: "\(path)[\($0)]") }
    }

    func members() throws(TokenizerError) -> [JSONMember] {
        guard case .object(let members) = node else { throw wrong("an object") }
        return members
    }

    func string(_ name: String) throws(TokenizerError) -> String { try required(name).string() }
    func bytes(_ name: String) throws(TokenizerError) -> [UInt8] { try required(name).bytes() }
    func bool(_ name: String, default value: Bool) throws(TokenizerError) -> Bool {
        try optional(name)?.bool() ?? value
    }

    var unsupported: TokenizerError { .unsupported(field: path, value: summary) }

    private var summary: String {
        switch node {
        case .string(let bytes): String(decoding: bytes.prefix(80), as: UTF8.self).debugDescription
        case .number(let value): "\(value)"
        case .bool(let value): "\(value)"
        default: node.kind
        }
    }
}
