internal import HTTPTypes
internal import Hummingbird
internal import Serving
internal import Text

/// What a client is told when a request is refused or fails, in OpenAI's shape. The message never holds native text,
/// addresses or paths.
struct APIError: Error, Sendable {
    var status: HTTPResponse.Status
    /// `invalid_request_error`, `authentication_error`, `rate_limit_error`, `server_error`.
    var type: String
    var code: String?
    var message: String
    /// The field to blame.
    var parameter: String?
    var retryAfter: Int?

    static func invalid(_ message: String, _ parameter: String?, code: String? = nil) -> APIError {
        APIError(
            status: .badRequest, type: "invalid_request_error", code: code, message: message, parameter: parameter)
    }

    static func notFound(_ message: String, code: String? = nil) -> APIError {
        APIError(status: .notFound, type: "invalid_request_error", code: code, message: message)
    }

    static func server(_ message: String, status: HTTPResponse.Status = .internalServerError) -> APIError {
        APIError(status: status, type: "server_error", message: message)
    }

    /// Any error, as a client may see it.
    init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as EngineError: self.init(error)
        case let error as PromptError: self.init(error)
        case is CancellationError:
            // Nobody reads it; logs and metrics tell it from a failure.
            self.init(
                status: HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request"),
                type: "invalid_request_error", message: "the client has gone")
        default: self = .server("the request failed")
        }
    }

    init(
        status: HTTPResponse.Status, type: String, code: String? = nil, message: String, parameter: String? = nil,
        retryAfter: Int? = nil
    ) {
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.parameter = parameter
        self.retryAfter = retryAfter
    }

    private init(_ error: EngineError) {
        let message = error.description
        switch error {
        case .overloaded(let seconds):
            self.init(
                status: .tooManyRequests, type: "rate_limit_error", code: "overloaded", message: message,
                retryAfter: seconds)
        case .tooLarge: self = .invalid(message, nil, code: "too_large")
        case .deadline:
            self.init(status: .gatewayTimeout, type: "server_error", code: "deadline_exceeded", message: message)
        case .outOfMemory:
            self.init(status: .serviceUnavailable, type: "server_error", code: "out_of_memory", message: message)
        case .shuttingDown:
            self.init(
                status: .serviceUnavailable, type: "server_error", code: "shutting_down", message: message,
                retryAfter: 5)
        case .failed: self = .server(message)
        }
    }

    private init(_ error: PromptError) {
        switch error.kind {
        case .format:
            self.init(
                status: .unsupportedMediaType, type: "invalid_request_error", code: "unsupported_image",
                message: error.message, parameter: "messages")
        case .picture: self = .invalid(error.message, "messages", code: "invalid_image")
        case .length: self = .invalid(error.message, "messages", code: "context_length_exceeded")
        case .count: self = .invalid(error.message, "messages", code: "too_many")
        case .model: self = .invalid(error.message, "messages")
        }
    }

    var json: OrderedJSON {
        [
            "error": [
                "message": .string(message), "type": .string(type), "param": OrderedJSON(parameter),
                "code": OrderedJSON(code),
            ]
        ]
    }

    var response: Response {
        var response = Response.json(json, status: status)
        if let retryAfter { response.headers[.retryAfter] = "\(retryAfter)" }
        return response
    }
}

extension Response {
    static func json(_ json: OrderedJSON, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: json.text)))
    }

    static func text(_ text: String, type: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
