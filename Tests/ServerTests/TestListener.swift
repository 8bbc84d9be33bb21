import Foundation
import Synchronization

/// A server of a few lines that says whatever a test wants, well-formed or not, on a port of this machine.
final class TestListener: Sendable {
    let port: Int
    private let descriptors: [Int32]
    private let accepted = Mutex(0)

    /// Connections that came.
    var connections: Int { accepted.withLock { $0 } }

    /// - Parameters:
    ///   - listensToSix: also listens at `::1`, with the same port.
    ///   - answer: gets the path, and writes to the connection, which is closed behind it.
    init(listensToSix: Bool = false, answer: @escaping @Sendable (String, Connection) -> Void = { _, _ in }) throws {
        let four = try Self.listen(port: 0)
        port = four.port
        descriptors = [four.descriptor] + (listensToSix ? [try? Self.listenSix(port: four.port)].compactMap { $0 } : [])
        for descriptor in descriptors {
            Thread.detachNewThread { [weak self] in
                while true {
                    let client = accept(descriptor, nil, nil)
                    if client < 0 {
                        // Not by who ends it: the number may belong to another socket before this thread looks again.
                        close(descriptor)
                        return
                    }
                    self?.accepted.withLock { $0 += 1 }
                    Thread.detachNewThread {
                        let connection = Connection(client)
                        answer(connection.path() ?? "", connection)
                    }
                }
            }
        }
    }

    deinit {
        for descriptor in descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    private static func listen(port: Int) throws -> (descriptor: Int32, port: Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) | Foundation.listen(descriptor, 64) | getsockname(descriptor, $0, &size)
            }
        }
        guard status == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    private static func listenSix(port: Int) throws -> Int32 {
        let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = in_port_t(UInt16(port).bigEndian)
        address.sin6_addr = in6addr_loopback
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                    | Foundation.listen(descriptor, 64)
            }
        }
        guard status == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        return descriptor
    }

    /// One client's connection.
    final class Connection: Sendable {
        private let descriptor: Int32

        init(_ descriptor: Int32) {
            self.descriptor = descriptor
            var limit = timeval(tv_sec: 10, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }

        deinit { close(descriptor) }

        /// The path of the request; nil where none came.
        func path() -> String? {
            var received: [UInt8] = [], buffer = [UInt8](repeating: 0, count: 4096)
            while received.firstRange(of: Array("\r\n\r\n".utf8)) == nil {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count <= 0 { return nil }
                received += buffer[..<count]
            }
            return String(decoding: received, as: UTF8.self).split(separator: " ").dropFirst().first.map(String.init)
        }

        /// False once the other side takes no more.
        @discardableResult func send(_ bytes: [UInt8]) -> Bool {
            sendAll(bytes, to: descriptor)
        }

        func send(status: Int = 200, headers: [String] = [], body: [UInt8] = [], length: Int? = nil) {
            let lines = ["HTTP/1.1 \(status) Said", "Connection: close", "Content-Length: \(length ?? body.count)"]
            send(Array(((lines + headers).joined(separator: "\r\n") + "\r\n\r\n").utf8) + body)
        }
    }
}
