internal import Serving
internal import Text

/// What an answer must look like.
enum AnswerFormat {
    case text

    init(_ request: RequestObject, _ tools: ToolChoice) throws(APIError) {
        self = .text
        if let format = try request.object("response_format") {
            guard try format.requiredString("type") == "text" else {
                throw format.failure("type", "must be text; this server does not constrain answers")
            }
        }
        if case .required = tools.rule {
            throw request.failure("tool_choice", "must be auto or none; this server does not constrain answers")
        }
    }
}
