/// What went wrong with a chat template, and at which line of it.
public struct ChatTemplateError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// The template is not well-formed Jinja, or names a filter or test that there is none of.
        case syntax
        /// Something undefined was used for more than printing or testing.
        case undefined
        /// An operation met a value of the wrong type.
        case type
        /// An operation met a value of the right type that it cannot take.
        case value
        /// The template tried to reach what a template may not.
        case security
        /// The template wanted more steps, depth, memory, output or time than it is given.
        case limit
        /// The template itself refused its input with `raise_exception`.
        case raised
        /// The file that should hold the template is missing or malformed.
        case file
    }

    public var kind: Kind
    public var message: String
    /// The name of the template (or the path of its file).
    public var template: String
    /// Counted from 1; `nil` where no line is to blame.
    public var line: Int?

    public init(_ kind: Kind, _ message: String, template: String, line: Int? = nil) {
        self.kind = kind
        self.message = message
        self.template = template
        self.line = line
    }

    public var description: String {
        let place = line.map { "\(template):\($0)" } ?? template
        return "\(place): \(message)"
    }
}

/// How much one rendering may use. Templates come with checkpoints from outside, so each costs a bounded amount.
public struct TemplateLimits: Sendable, Hashable {
    /// Expressions, statements and (in blocks of 16) characters looked at, beyond two for each character of the context.
    public var steps: Int
    /// Levels of statements, expressions and macro calls inside one another.
    public var depth: Int
    /// Unicode scalars of the rendered text.
    public var output: Int
    /// Unicode scalars that may be produced on the way, beyond sixteen times the context's; a list element counts as 8.
    public var allocation: Int
    public var seconds: Double

    public init(
        steps: Int = 400_000, depth: Int = 1_000, output: Int = 16_000_000, allocation: Int = 4_000_000,
        seconds: Double = 5
    ) {
        self.steps = steps
        self.depth = depth
        self.output = output
        self.allocation = allocation
        self.seconds = seconds
    }

    public static let `default` = TemplateLimits()
}
