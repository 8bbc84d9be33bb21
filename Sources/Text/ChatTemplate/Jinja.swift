/// The inner parts of the chat-template engine: the language that jinja2 calls Jinja, as `transformers` sets it up.
enum Jinja {
    /// Something went wrong while reading or rendering; the line is added where it is known, at the public entry.
    struct Fault: Error {
        var kind: ChatTemplateError.Kind
        var message: String
        /// The template line, where the place that throws knows better than the statement being rendered.
        var line: Int?

        init(_ kind: ChatTemplateError.Kind, _ message: String, line: Int? = nil) {
            self.kind = kind
            self.message = message
            self.line = line
        }

        static func type(_ message: String) -> Fault { Fault(.type, message) }
        static func value(_ message: String) -> Fault { Fault(.value, message) }
        static func limit(_ message: String) -> Fault { Fault(.limit, message) }
        static func security(_ message: String) -> Fault { Fault(.security, message) }
        static func undefined(_ message: String) -> Fault { Fault(.undefined, message) }
        static func syntax(_ message: String, line: Int) -> Fault { Fault(.syntax, message, line: line) }
    }

    /// How deeply lists, dictionaries and generators may lie in each other: bounds every recursion over values, the one
    /// that frees them included.
    static let maximumValueDepth = 256
    /// How deeply expressions and statements of a template may lie in each other.
    static let maximumSyntaxDepth = 100
}
