/// A chat template: the Jinja that a checkpoint's `tokenizer_config.json` carries, rendered as `transformers` does.
///
/// The reference is `transformers.utils.chat_template_utils`: jinja2's `ImmutableSandboxedEnvironment` with
/// `trim_blocks` and `lstrip_blocks`, loop controls and the `generation` tag, `tojson` without HTML escapes,
/// `raise_exception` and `strftime_now`. Two differences are meant: attributes like `__class__` are errors where jinja2
/// prints them as nothing, and whole numbers beyond 64 bits are errors.
///
/// The result is text in runs: what the template says is `.template`, what the context holds keeps its own source
/// through every operation. Text that a user typed thus never passes for a special token.
public struct ChatTemplate: Sendable {
    public let name: String
    public let source: String
    private let statements: [Jinja.Statement]

    /// Reads the template.
    ///
    /// - Throws: `ChatTemplateError` of kind `syntax`, or `security` where it wants to load other templates.
    public init(_ source: String, name: String = "chat template") throws(ChatTemplateError) {
        self.name = name
        self.source = source
        do {
            guard source.utf8.count <= Self.largestSource else {
                throw Jinja.Fault.limit("a template of more than \(Self.largestSource) bytes")
            }
            statements = try Jinja.Parser.parse(source)
        } catch {
            throw Self.error(error, name, line: nil)
        }
    }

    /// Published templates have up to 20 kB.
    static let largestSource = 1_000_000

    /// Renders the template.
    ///
    /// - Parameters:
    ///   - context: the variables, such as `messages`, `add_generation_prompt`, `tools`, `bos_token`.
    ///   - limits: what the rendering may use.
    ///   - clock: what `strftime_now` shows.
    public func render(
        _ context: TemplateDictionary, limits: TemplateLimits = .default, clock: TemplateClock = TemplateClock()
    ) throws(ChatTemplateError) -> RenderedTemplate {
        var line: Int?
        do {
            var size = 0
            var variables: [String: Jinja.Value] = [:]
            for entry in context.entries {
                variables[entry.key.string] = try Jinja.value(entry.value, size: &size)
            }
            let renderer = Jinja.Renderer(context: variables, size: size, limits: limits, clock: clock)
            defer { line = renderer.line }
            let text = try renderer.render(statements)
            return RenderedTemplate(text: text.taggedText, generationRanges: text.generatedRanges)
        } catch {
            throw Self.error(error, name, line: line)
        }
    }

    private static func error(_ error: any Error, _ name: String, line: Int?) -> ChatTemplateError {
        if let error = error as? ChatTemplateError { return error }
        guard let fault = error as? Jinja.Fault else {
            return ChatTemplateError(.value, "\(error)", template: name, line: line)
        }
        return ChatTemplateError(fault.kind, fault.message, template: name, line: fault.line ?? line)
    }
}

/// What a chat template rendered to.
public struct RenderedTemplate: Sendable, Hashable {
    public var text: TaggedText
    /// Where the output of `{% generation %}` blocks stands, in UTF-8 bytes of `string`: ascending, without overlaps;
    /// neighbours are joined. This is the assistant mask of `transformers`, which counts characters.
    public var generationRanges: [Range<Int>]

    public init(text: TaggedText, generationRanges: [Range<Int>] = []) {
        self.text = text
        self.generationRanges = generationRanges
    }

    /// The text without its origins.
    public var string: String { text.string }
}
