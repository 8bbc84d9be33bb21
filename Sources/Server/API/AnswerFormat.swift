internal import Serving
internal import Text

/// What an answer must look like.
enum AnswerFormat {
    case text
    case object
    case schema(OrderedJSON)
    /// A call of one of these tools.
    case call([(name: String, schema: OrderedJSON)])

    /// Bytes of a schema, as JSON.
    private static let largestSchema = 64 << 10

    init(_ request: RequestObject, _ tools: ToolChoice) throws(APIError) {
        self = .text
        if let format = try request.object("response_format") {
            switch try format.requiredString("type") {
            case "text": break
            case "json_object": self = .object
            case "json_schema":
                guard let object = try format.object("json_schema") else {
                    throw format.failure("json_schema", "is required")
                }
                try object.allow(["name", "description", "schema", "strict"])
                _ = try object.requiredString("name")
                guard let schema = object.value("schema") else { throw object.failure("schema", "is required") }
                guard schema.text.utf8.count <= Self.largestSchema else {
                    throw object.failure("schema", "has more than \(Self.largestSchema) bytes")
                }
                self = .schema(schema)
            default: throw format.failure("type", "must be text, json_object or json_schema")
            }
        }
        if case .required(let names) = tools.rule {
            guard case .text = self else { throw request.failure("tool_choice", "contradicts response_format") }
            let called = tools.parameters.filter { names.contains($0.name) }
            guard called.reduce(0, { $0 + $1.schema.text.utf8.count }) <= 4 * Self.largestSchema else {
                throw request.failure("tools", "have schemas that are too large")
            }
            self = .call(called)
        }
    }

    /// The rule for the answer's tokens.
    func constraint(_ tokens: TokenBytes?) throws(APIError) -> (any TokenConstraint)? {
        if case .text = self { return nil }
        guard let tokens else {
            throw .invalid(
                "this model's tokenizer does not allow answers of a given form", "response_format",
                code: "unsupported")
        }
        do throws(SchemaError) {
            switch self {
            case .text: return nil
            case .object: return GrammarConstraint(anyObject: tokens)
            case .schema(let schema): return try GrammarConstraint(schema: schema, tokens)
            case .call(let tools):
                return try GrammarConstraint(
                    oneOf: tools.map { tool in
                        let name = OrderedJSON.string(tool.name).text
                        return (
                            "\(ToolPrompt.callStart)\n{\"name\": \(name), \"arguments\": ", tool.schema,
                            "}\n\(ToolPrompt.callEnd)"
                        )
                    }, tokens)
            }
        } catch {
            let field = if case .call = self { "tools" } else { "response_format" }
            throw .invalid("the schema cannot be followed: \(error)", field, code: "unsupported_schema")
        }
    }
}
