public import Fetching
internal import Foundation
public import Serving

/// How a server listens and what it takes.
public struct ServerOptions: Sendable {
    public var host = "127.0.0.1"
    /// 0 takes any free port.
    public var port = 8080
    /// The name under which clients know the model.
    public var modelName: String
    /// Keys of which every request but for `/health` must bring one; none for no keys.
    public var keys: [String] = []
    /// Requests that are answered at a time.
    public var maxBatch = 8
    /// Requests that wait while those are answered; further ones get 429.
    public var maxQueue = 32
    /// Memory that requests may take together, in bytes.
    public var maxRequestBytes = 2 << 30
    /// Bytes of a request's body.
    public var maxBodyBytes = 64 << 20
    public var prompt = PromptLimits()
    /// From where pictures are fetched that requests name by http or https addresses; nil for data URLs only.
    public var pictureAddresses: FetchRules?
    /// Tokens of an answer whose request says nothing.
    public var defaultMaxTokens = 1024
    /// Answers to one prompt.
    public var maxAnswers = 8
    /// Seconds that a request may take, with its time in the queue.
    public var deadlineSeconds = 300
    /// Seconds that a body may take to arrive.
    public var uploadSeconds = 60
    /// Seconds that answers may still take once the server is told to end.
    public var graceSeconds = 30
    public var maxConnections = 1024

    public init(modelName: String) { self.modelName = modelName }

    /// The keys of a file, one a line; empty lines and lines that begin with # do not count.
    public static func keys(contentsOf file: String) throws(ServerError) -> [String] {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw .keys(file: file, reason: "cannot be read")
        }
        guard data.count <= 1 << 20 else { throw .keys(file: file, reason: "has more than a megabyte") }
        let lines = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline)
        let keys = lines.map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty && !$0.hasPrefix("#") }
        guard !keys.isEmpty else { throw .keys(file: file, reason: "holds no key; write one a line") }
        if let key = keys.first(where: { $0.utf8.count < 8 }) {
            throw .keys(file: file, reason: "holds a key of \(key.utf8.count) bytes; 8 or more are needed")
        }
        return keys
    }

    /// Whether only programs of this machine can connect.
    public var isLoopback: Bool { ["127.0.0.1", "::1", "localhost"].contains(host) }
}
