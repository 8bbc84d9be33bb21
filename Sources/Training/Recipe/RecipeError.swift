/// A recipe that cannot be used: where, and why.
public struct RecipeError: Error, Sendable, Equatable, CustomStringConvertible {
    public let file: String
    /// Line in the file, from 1; nil for values that were set from outside.
    public let line: Int?
    /// Path of the key, as in `stages.0.batch.tokens`.
    public let key: String
    public let reason: String

    public init(file: String, line: Int? = nil, key: String = "", reason: String) {
        self.file = file
        self.line = line
        self.key = key
        self.reason = reason
    }

    public var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return key.isEmpty ? "\(place): \(reason)" : "\(place): \(key) \(reason)"
    }
}
