import Text

/// How a conversation is written, where the released code has the format in itself and not in a Jinja template.
public struct PromptFormat: Sendable, Hashable {
    public struct Turn: Sendable, Hashable {
        public var before: String
        public var after: String

        public init(_ before: String, _ after: String) {
            self.before = before
            self.after = after
        }
    }

    public var system: Turn?
    public var user: Turn
    public var assistant: Turn
    /// Stands in where the conversation has no system message; nil writes no such turn.
    public var defaultSystem: String?
    /// What an empty system message becomes instead of an empty turn.
    public var withoutSystem: String?
    /// The token at which an answer ends.
    public var stop: String
    /// Special tokens that an answer may hold.
    public var marks: [String]
    /// Those of them that a question may hold too, where a family asks for places with them. They end no turn and place
    /// no picture.
    public var questionMarks: [String] = []

    public init(system: Turn?, user: Turn, assistant: Turn, stop: String, defaultSystem: String? = nil) {
        self.system = system
        self.user = user
        self.assistant = assistant
        self.stop = stop
        self.defaultSystem = defaultSystem
        marks = []
    }

    /// `<|im_start|>role`, a line of its own, and `<|im_end|>`, with `separator` behind it.
    public static func chatML(separator: String, system: String? = nil) -> PromptFormat {
        func turn(_ role: String) -> Turn { Turn("<|im_start|>\(role)\n", "<|im_end|>\(separator)") }
        return PromptFormat(
            system: turn("system"), user: turn("user"), assistant: turn("assistant"), stop: "<|im_end|>",
            defaultSystem: system)
    }

    /// Phi-3's.
    public static func phi3(system: String? = nil) -> PromptFormat {
        func turn(_ role: String) -> Turn { Turn("<|\(role)|>\n", "<|end|>") }
        return PromptFormat(
            system: turn("system"), user: turn("user"), assistant: turn("assistant"), stop: "<|end|>",
            defaultSystem: system)
    }

    /// The turn around a message of this role.
    ///
    /// - Throws: `ProcessingError.unsupported` for roles that the format has no words for.
    func turn(_ role: Role) throws -> Turn {
        switch role {
        case .user: return user
        case .assistant: return assistant
        case .system:
            if let system { return system }
            throw ProcessingError.unsupported("this model takes no system message; put it before the question")
        case .tool: throw ProcessingError.unsupported("this model takes no messages of tools")
        }
    }
}
