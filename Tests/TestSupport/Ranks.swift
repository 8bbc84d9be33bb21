internal import Foundation

/// Several ranks in one process, each on a thread of its own, and a port where they can meet.
public enum Ranks {
    /// One test at a time: libtorch keeps some of its state by process, and was made for one rank in each.
    private static let turn = NSLock()

    /// What `body` gave on each of `count` threads.
    public static func run<Value: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (_ rank: Int) throws -> Value
    ) -> [Result<Value, any Error>] {
        turn.lock()
        defer { turn.unlock() }
        let results = Results<Value>()
        let threads = (0..<count).map { rank in
            let thread = Thread {
                results.set(rank, Result { try body(rank) })
            }
            thread.stackSize = 16 << 20
            return thread
        }
        for thread in threads { thread.start() }
        return results.wait(count)
    }

    private final class Results<Value: Sendable>: @unchecked Sendable {
        private let condition = NSCondition()
        private var values: [Int: Result<Value, any Error>] = [:]

        func set(_ rank: Int, _ value: Result<Value, any Error>) {
            condition.lock()
            values[rank] = value
            condition.broadcast()
            condition.unlock()
        }

        func wait(_ count: Int) -> [Result<Value, any Error>] {
            condition.lock()
            defer { condition.unlock() }
            while values.count < count { condition.wait() }
            return (0..<count).compactMap { values[$0] }
        }
    }

    /// A port of this machine that nobody listens on.
    public static func freePort() throws -> UInt16 {
        #if canImport(Darwin)
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #else
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw CocoaError(.fileReadUnknown) }
        return UInt16(bigEndian: address.sin_port)
    }
}
