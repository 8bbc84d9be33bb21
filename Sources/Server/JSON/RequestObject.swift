internal import Text

/// An object of a request's body, read field by field. Absent fields and nulls are the same. What is wrong is said with
/// the path of the field, as in `messages[2].content`.
struct RequestObject {
    let path: String
    private let members: [OrderedJSON.Member]

    init(_ json: OrderedJSON, path: String = "") throws(APIError) {
        guard case .object(let members) = json else {
            throw .invalid(path.isEmpty ? "the body must be a JSON object" : "\(path) must be an object", path)
        }
        self.members = members
        self.path = path
    }

    func pathOf(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The value under a name; nil for null.
    func value(_ key: String) -> OrderedJSON? {
        guard let value = members.last(where: { $0.key == key })?.value, value != .null else { return nil }
        return value
    }

    func string(_ key: String) throws(APIError) -> String? {
        guard let value = value(key) else { return nil }
        guard case .string(let text) = value else { throw failure(key, "must be a string") }
        return text
    }

    func requiredString(_ key: String) throws(APIError) -> String {
        guard let text = try string(key) else { throw failure(key, "is required") }
        return text
    }

    func flag(_ key: String) throws(APIError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard case .bool(let flag) = value else { throw failure(key, "must be true or false") }
        return flag
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let value = value(key) else { return nil }
        let number: Int? =
            switch value {
            case .int(let number): number
            case .double(let number): Int(exactly: number)
            default: nil
            }
        guard let number, range.contains(number) else {
            throw failure(key, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func number(_ key: String, in range: ClosedRange<Double>) throws(APIError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.number, range.contains(number) else {
            throw failure(key, "must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func object(_ key: String) throws(APIError) -> RequestObject? {
        guard let value = value(key) else { return nil }
        return try RequestObject(value, path: pathOf(key))
    }

    func array(_ key: String, atMost limit: Int) throws(APIError) -> [OrderedJSON]? {
        guard let value = value(key) else { return nil }
        guard case .array(let elements) = value else { throw failure(key, "must be an array") }
        guard elements.count <= limit else {
            throw failure(key, "has \(elements.count) elements; at most \(limit) are taken")
        }
        return elements
    }

    /// The members of an object under a name.
    func entries(_ key: String, atMost limit: Int) throws(APIError) -> [OrderedJSON.Member]? {
        guard let value = value(key) else { return nil }
        guard case .object(let members) = value else { throw failure(key, "must be an object") }
        guard members.count <= limit else {
            throw failure(key, "has \(members.count) entries; at most \(limit) are taken")
        }
        return members
    }

    /// Fields that nobody knows are mistakes, not wishes to be ignored.
    func allow(_ known: Set<String>) throws(APIError) {
        if let member = members.first(where: { !known.contains($0.key) }) {
            let name = String(member.key.prefix(64))
            throw failure(name, "is not a field that this server knows")
        }
    }

    func failure(_ key: String, _ rule: String) -> APIError { .invalid("\(pathOf(key)) \(rule)", pathOf(key)) }
}

extension OrderedJSON {
    var number: Double? {
        switch self {
        case .int(let number): Double(number)
        case .double(let number): number
        default: nil
        }
    }
}
