internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Inference
internal import Serving
internal import Text

/// One method of one path.
struct Route: Sendable {
    var method: HTTPRequest.Method
    /// A path; `{model}` at the end takes the rest.
    var path: String
    /// Whether the work ends when the client leaves.
    var watchesClient: Bool
    var handle: @Sendable (Request) async throws -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, watchesClient: Bool = false,
        _ handle: @escaping @Sendable (Request) async throws -> Response
    ) {
        self.watchesClient = watchesClient
        self.method = method
        self.path = path
        self.handle = handle
    }

    func matches(_ path: String) -> Bool {
        guard self.path.hasSuffix("{model}") else { return self.path == path }
        let start = self.path.dropLast("{model}".count)
        return path.hasPrefix(start) && path.count > start.count
    }
}

/// Finds the route of a request, behind the guards that all routes share, and turns every error into OpenAI's shape.
struct Responder: HTTPResponder {
    let handlers: Handlers
    let routes: [Route]
    private let keys: APIKeys

    init(_ handlers: Handlers) {
        self.handlers = handlers
        keys = APIKeys(handlers.options.keys)
        routes =
            [
                Route(.get, "/health", handlers.health), Route(.get, "/ready", handlers.ready),
                Route(.get, "/metrics", handlers.metricsText), Route(.get, "/v1/models", handlers.models),
                Route(.get, "/v1/models/{model}", handlers.model),
                Route(.post, "/v1/chat/completions", watchesClient: true, handlers.chat),
                Route(.post, "/v1/completions", watchesClient: true, handlers.complete),
                Route(.post, "/tokenize", handlers.tokenize),
                Route(.post, "/detokenize", handlers.detokenize),
            ] + WebPage.routes
    }

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        let start = ContinuousClock.now, path = request.uri.path
        let matching = routes.filter { $0.matches(path) }
        var response: Response
        do {
            try guardHost(request)
            if path != "/health", !keys.admits(request.headers) { throw Self.unauthorised }
            guard !matching.isEmpty else { throw APIError.notFound("there is no such path") }
            let method = request.method == .head ? .get : request.method
            guard let route = matching.first(where: { $0.method == method }) else {
                throw APIError(
                    status: .methodNotAllowed, type: "invalid_request_error", message: "this path has another method")
            }
            response = try await route.handle(request)
        } catch {
            handlers.log(error)
            response = APIError(error).response
            if response.status == .unauthorized {
                response.headers[.wwwAuthenticate] = path == "/" ? "Basic realm=\"omma\"" : "Bearer"
            }
            if response.status == .methodNotAllowed {
                response.headers[.allow] = matching.map(\.method.rawValue).joined(separator: ", ")
            }
        }
        // Watching whether a client leaves uses the connection up; said, so that nobody sends another request on it.
        if matching.contains(where: \.watchesClient) { response.headers[.connection] = "close" }
        response.headers[.xContentTypeOptions] = "nosniff"
        response.headers[.referrerPolicy] = "no-referrer"
        handlers.metrics.count(
            route: matching.first?.path ?? "other", status: response.status.code,
            seconds: (.now - start).seconds)
        return request.method == .head ? response.createHeadResponse() : response
    }

    private static let unauthorised = APIError(
        status: .unauthorized, type: "authentication_error", code: "invalid_api_key",
        message: "this server needs a key: send Authorization: Bearer KEY")

    /// A server on the loopback interface answers to the names of that interface only, so that a page of another site
    /// cannot reach it by a name that it lets point here.
    private func guardHost(_ request: Request) throws {
        guard handlers.options.isLoopback else { return }
        let authority = request.head.authority ?? ""
        let host =
            authority.hasPrefix("[")
            ? authority.drop { $0 == "[" }.prefix { $0 != "]" } : authority.prefix { $0 != ":" }
        guard ["127.0.0.1", "::1", "localhost", ""].contains(host.lowercased()) else {
            throw APIError(
                status: .forbidden, type: "invalid_request_error",
                message: "this server listens on the loopback interface and answers to localhost only")
        }
    }
}

extension HTTPField.Name {
    static let referrerPolicy = HTTPField.Name("Referrer-Policy") ?? .xContentTypeOptions
}
