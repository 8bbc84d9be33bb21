/// Why an engine gave no answer, or no whole one. The descriptions are for clients: they never hold native messages.
public enum EngineError: Error, Sendable, Hashable, CustomStringConvertible {
    /// As many requests as are taken at a time are here already.
    case overloaded(retryAfterSeconds: Int)
    /// The request needs more memory than requests may have together.
    case tooLarge(bytes: Int, limit: Int)
    case deadline(seconds: Int)
    case outOfMemory
    case shuttingDown
    /// Something failed in the model; `detail` is for logs.
    case failed(detail: String)

    public var description: String {
        switch self {
        case .overloaded: "the server has as many requests as it takes; try again later"
        case .tooLarge(let bytes, let limit):
            "the request needs about \(bytes >> 20) MiB, more than the \(limit >> 20) MiB that requests may use; "
                + "send fewer or smaller pictures, or ask for fewer tokens"
        case .deadline(let seconds): "the answer was not ready within \(seconds) s"
        case .outOfMemory: "there was not enough memory for this request; try again, or send fewer or smaller pictures"
        case .shuttingDown: "the server is shutting down"
        case .failed: "the model failed on this request"
        }
    }
}
