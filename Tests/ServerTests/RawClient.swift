import Foundation

/// A connection of plain bytes, which may send what no library would, read as slowly as it likes, and leave.
final class RawConnection {
    private let descriptor: Int32
    private(set) var received: [UInt8] = []
    private(set) var isClosed = false

    init(port: Int, receiveBuffer: Int32? = nil, timeout: Int = 60) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw POSIXError(.EMFILE) }
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var limit = timeval(tv_sec: timeout, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            // `deinit` closes it: a second time might close a connection that the server has accepted meanwhile.
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
    }

    deinit { leave() }

    func leave() {
        if !isClosed, descriptor >= 0 { close(descriptor) }
        isClosed = true
    }

    /// False once the other side takes no more.
    @discardableResult func send(_ bytes: some Collection<UInt8>) -> Bool {
        sendAll(Array(bytes), to: descriptor)
    }

    /// Reads up to so many bytes; 0 at the end.
    @discardableResult func read(upTo limit: Int = 65536) -> Int {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &buffer, limit, 0)
        if count > 0 { received += buffer[..<count] }
        return max(0, count)
    }

    func readUntil(_ text: String) {
        while !String(decoding: received, as: UTF8.self).contains(text), read() > 0 {}
    }

    /// The whole response; the connection is asked to close behind it.
    func response() -> RawResponse {
        while read() > 0 {}
        return RawResponse(received)
    }
}

/// A response, taken apart.
struct RawResponse: Sendable {
    var status = 0
    var headers: [String: String] = [:]
    var body: [UInt8] = []
    /// Whether the body ended where it said it would.
    var isComplete = false

    var text: String { String(decoding: body, as: UTF8.self) }

    init(_ bytes: [UInt8]) {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        status = lines.first.flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) } ?? 0
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...]
                .trimmingCharacters(in: .whitespaces)
        }
        let rest = Array(bytes[end.upperBound...])
        guard headers["transfer-encoding"] == "chunked" else {
            body = rest
            isComplete = headers["content-length"].flatMap { Int($0) } == rest.count
            return
        }
        var index = 0
        while let line = rest[index...].firstRange(of: [13, 10]) {
            guard let size = Int(String(decoding: rest[index..<line.lowerBound], as: UTF8.self), radix: 16) else {
                return
            }
            if size == 0 {
                isComplete = true
                return
            }
            guard line.upperBound + size + 2 <= rest.count else { return }
            body += rest[line.upperBound..<line.upperBound + size]
            index = line.upperBound + size + 2
        }
    }

    func json() -> [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:]
    }

    /// The `error` object's message; nil where there is no well-formed one.
    var errorMessage: String? {
        guard let error = json()["error"] as? [String: Any], error.keys.contains("code"), error.keys.contains("param"),
            error["type"] is String
        else { return nil }
        return error["message"] as? String
    }

    /// Server-sent events, without the final `[DONE]`.
    var events: [[String: Any]] {
        text.components(separatedBy: "\n\n").compactMap { event in
            guard event.hasPrefix("data: "), event != "data: [DONE]" else { return nil }
            return (try? JSONSerialization.jsonObject(with: Data(event.dropFirst(6).utf8))) as? [String: Any]
        }
    }

    var isDone: Bool { text.hasSuffix("data: [DONE]\n\n") }
}

/// Runs blocking work on a thread of its own: the server under test needs Swift's own threads.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Swift.Result { try body() }) }
    }
}

/// Sends all bytes over a socket; false once the other side takes no more.
func sendAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes {
            Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if count <= 0 { return false }
        sent += count
    }
    return true
}
