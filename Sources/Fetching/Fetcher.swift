internal import CFetch
internal import Foundation
internal import Synchronization

/// From where files may be fetched, and how long that may take.
public struct FetchRules: Sendable, Hashable {
    /// The only hosts that are asked; nil for all.
    public var hosts: Set<String>?
    /// Hosts that may have addresses of this machine or of private networks.
    public var privateHosts: Set<String>
    /// Redirects that are followed; each of them is held to the same rules.
    public var maxRedirects = 3
    /// Seconds for all of a file, with its redirects.
    public var seconds = 10.0

    public init(hosts: Set<String>? = nil, privateHosts: Set<String> = []) {
        self.hosts = hosts.map { Set($0.map(Self.normal)) }
        self.privateHosts = Set(privateHosts.map(Self.normal))
    }

    /// Host names know no case, and a dot at the end says nothing.
    static func normal(_ host: String) -> String {
        let lower = host.lowercased()
        return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
    }
}

/// Why a file was not fetched. The descriptions are for clients: they tell nothing about our network.
public enum FetchError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The address is none of http or https, holds a name or a password, or another port than 80, 443 or one above 1023.
    case badAddress(reason: String)
    case refusedHost
    case unreachable
    case timeout(seconds: Double)
    case tooLarge(limit: Int)
    case tooManyRedirects(limit: Int)
    case status(Int)
    case type(String)
    case cancelled

    public var description: String {
        switch self {
        case .badAddress(let reason): reason
        case .refusedHost: "leads to a host that this server does not fetch from"
        case .unreachable: "cannot be reached, or its answer is broken"
        case .timeout(let seconds): "did not come within \(seconds) s"
        case .tooLarge(let limit): "has more than the \(limit) bytes that are taken"
        case .tooManyRedirects(let limit): "redirects more than \(limit) times"
        case .status(let status): "was answered with status \(status)"
        case .type(let type): "has the type '\(type)', which is no picture's"
        case .cancelled: "was not waited for"
        }
    }
}

/// Fetches files from addresses that strangers name.
///
/// Every address is held to `FetchRules` by its parts (scheme, host, port), and every connection by the IP address that it
/// goes to, so that neither names nor redirects lead into our own network. Proxies are not used, since behind one
/// nobody could look at that address.
public final class Fetcher: Sendable {
    private let rules: FetchRules
    private let queue: OperationQueue

    /// - Parameter maxConnections: files that are fetched at a time; further ones wait.
    public init(_ rules: FetchRules, maxConnections: Int = 16) {
        self.rules = rules
        queue = OperationQueue()
        queue.name = "omma fetching"
        queue.maxConcurrentOperationCount = maxConnections
    }

    /// A file, as its server has it.
    ///
    /// - Parameter maxBytes: bytes that it may have.
    /// - Throws: `FetchError`.
    public func fetch(_ address: String, maxBytes: Int) async throws -> [UInt8] {
        let isCancelled = Flag()
        let end = ContinuousClock.now + .seconds(rules.seconds)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                queue.addOperation { [self] in
                    continuation.resume(with: Result { try load(address, maxBytes, end, isCancelled) })
                }
            }
        } onCancel: {
            isCancelled.value.withLock { $0 = true }
        }
    }

    private final class Flag: Sendable { let value = Mutex(false) }

    /// What the callbacks of a transfer know.
    private final class Transfer {
        let admitsPrivate: Bool
        let isCancelled: Flag

        init(admitsPrivate: Bool, isCancelled: Flag) {
            self.admitsPrivate = admitsPrivate
            self.isCancelled = isCancelled
        }
    }

    private func load(
        _ address: String, _ maxBytes: Int, _ end: ContinuousClock.Instant, _ isCancelled: Flag
    ) throws(FetchError) -> [UInt8] {
        var address = address
        for _ in 0...rules.maxRedirects {
            let host = try checkedHost(address)
            let left = end - .now
            guard left > .zero else { throw .timeout(seconds: rules.seconds) }
            let transfer = Transfer(admitsPrivate: rules.privateHosts.contains(host), isCancelled: isCancelled)
            let (response, bytes) = Self.get(address, maxBytes, left, transfer)
            switch response.outcome {
            case OMMA_FETCH_DONE: break
            case OMMA_FETCH_REFUSED_ADDRESS: throw .refusedHost
            case OMMA_FETCH_TIMEOUT: throw .timeout(seconds: rules.seconds)
            case OMMA_FETCH_TOO_LARGE: throw .tooLarge(limit: maxBytes)
            case OMMA_FETCH_CANCELLED: throw .cancelled
            default: throw .unreachable
            }
            switch response.status {
            case 200:
                let type = Self.text(response.content_type).lowercased()
                guard Self.isPictures(type) else { throw .type(String(type.prefix(60))) }
                return bytes
            case 301, 302, 303, 307, 308:
                address = Self.text(response.redirect)
                guard !address.isEmpty else { throw .unreachable }
            default: throw .status(response.status)
            }
        }
        throw .tooManyRedirects(limit: rules.maxRedirects)
    }

    /// The host of an address that may be asked.
    func checkedHost(_ address: String) throws(FetchError) -> String {
        guard address.utf8.count < 2048 else { throw .badAddress(reason: "has more than 2047 bytes") }
        // What parsers read differently (backslashes, spaces, line ends, letters beyond ASCII) stands in no address.
        guard address.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }) else {
            throw .badAddress(reason: "holds characters that an address must write as %XX")
        }
        let parts = omma_web_address_parse(address)
        let scheme = Self.text(parts.scheme).lowercased()
        guard parts.is_valid != 0, scheme == "http" || scheme == "https" else {
            throw .badAddress(reason: "must be an http or https address without a name or a password in it")
        }
        guard parts.port == 80 || parts.port == 443 || parts.port >= 1024 else {
            throw .badAddress(reason: "names port \(parts.port); files are fetched from 80, 443 and ports above 1023")
        }
        let host = FetchRules.normal(Self.text(parts.host))
        if let hosts = rules.hosts, !hosts.contains(host) { throw .refusedHost }
        return host
    }

    private static func get(
        _ address: String, _ maxBytes: Int, _ left: Duration, _ transfer: Transfer
    ) -> (omma_fetch_response, [UInt8]) {
        var response = omma_fetch_response()
        address.withCString { url in
            var request = omma_fetch_request()
            request.url = url
            request.max_bytes = maxBytes
            request.timeout_milliseconds = max(1, Int(left / .milliseconds(1)))
            request.context = Unmanaged.passUnretained(transfer).toOpaque()
            request.admits = { context, address, count in
                guard let context, let address else { return 0 }
                let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                let bytes = Array(UnsafeBufferPointer(start: address, count: Int(count)))
                return transfer.admitsPrivate || NetworkAddress(bytes).isPublic ? 1 : 0
            }
            request.is_cancelled = { context in
                guard let context else { return 0 }
                let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                return transfer.isCancelled.value.withLock { $0 } ? 1 : 0
            }
            withExtendedLifetime(transfer) { omma_fetch(&request, &response) }
        }
        defer { omma_fetch_free(&response) }
        let bytes = response.bytes.map { Array(UnsafeBufferPointer(start: $0, count: response.count)) } ?? []
        return (response, bytes)
    }

    /// Servers that do not know a file's type say nothing or `application/octet-stream`.
    private static func isPictures(_ type: String) -> Bool {
        type.isEmpty || type.hasPrefix("image/") || type.hasPrefix("application/octet-stream")
            || type.hasPrefix("binary/octet-stream")
    }

    /// The text of a C array of characters.
    private static func text<Characters>(_ characters: Characters) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
