#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A file mapped into memory for as long as this object lives.
///
/// The mapping is private and copy-on-write: whoever writes through it changes this process's copy of the page and
/// never the file. So the tensor engine can make tensors that use the bytes in place, with this object as their
/// retained owner, and an optimizer may update them. Saving over the file by rename (as `AtomicFile` does) leaves the
/// bytes as they were; another process that truncates the file in place takes them away (the system then stops us
/// with `SIGBUS`), which is why nothing here ever writes in place.
public final class MappedFile: @unchecked Sendable {
    // Unchecked: both fields are constants, and the pages are only read here.

    /// The path as given.
    public let path: String
    private let base: UnsafeMutableRawPointer?
    /// The length of the file when it was mapped.
    public let count: Int

    /// Maps `path`.
    ///
    /// - Throws: `FileSystemError` if the file cannot be opened or mapped, `SafetensorsError` if it is a folder, pipe
    ///   or device.
    public init(path: String) throws {
        self.path = path
        // Non-blocking, or a pipe with no writer would hold us here for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileSystemError(path: path, operation: .open, code: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw FileSystemError(path: path, operation: .stat, code: errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw SafetensorsError(file: path, reason: .notAFile) }
        count = Int(status.st_size)
        guard count > 0 else {
            base = nil
            return
        }
        // NORESERVE: pages that nobody writes need no swap, and a checkpoint may be larger than the memory.
        let flags = MAP_PRIVATE | MAP_NORESERVE
        guard let address = mmap(nil, count, PROT_READ | PROT_WRITE, flags, descriptor, 0), address != MAP_FAILED
        else { throw FileSystemError(path: path, operation: .map, code: errno) }
        base = address
    }

    deinit {
        if let base { munmap(base, count) }
    }

    /// The whole file; valid only while this object lives.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Tells the system that these bytes will be read soon and in order.
    public func prefetch(_ range: Range<Int>) {
        guard let base, !range.isEmpty, range.lowerBound >= 0, range.upperBound <= count else { return }
        let page = Int(getpagesize())
        let start = range.lowerBound / page * page
        madvise(base + start, range.upperBound - start, MADV_WILLNEED)
    }
}
