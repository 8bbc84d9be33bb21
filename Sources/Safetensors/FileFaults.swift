#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Every call that writes goes through here, so that tests can fail any one of them as a disk would.
package enum FileFaults {
    /// Asked before each call; an `errno` makes the call fail with it. Only tests set this.
    @TaskLocal package static var inject: (@Sendable (FileSystemError.Operation, String) -> Int32?)?

    /// Performs a system call that answers a negative number on failure; tries again when a signal broke in.
    package static func perform<Result: BinaryInteger>(
        _ operation: FileSystemError.Operation, _ path: String, retries: Bool = true, _ call: () -> Result
    ) throws -> Result {
        if let inject, let code = inject(operation, path) {
            throw FileSystemError(path: path, operation: operation, code: code)
        }
        while true {
            let result = call()
            if result >= 0 { return result }
            let code = errno
            guard retries, code == EINTR else {
                throw FileSystemError(path: path, operation: operation, code: code)
            }
        }
    }
}
