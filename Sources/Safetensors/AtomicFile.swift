#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A file that appears under its name only when it is complete and on the disk.
///
/// Writing goes to a temporary file in the same folder; `commit` syncs it, renames it over the name and syncs the
/// folder. Whatever goes wrong before the rename, and a crash at any moment, leaves what was there before; who had the
/// old file open or mapped keeps the old bytes. Not for several threads at once.
public final class AtomicFile {
    /// The name that the file will have.
    public let path: String
    private let temporary: String
    private var descriptor: Int32
    /// The bytes written so far.
    public private(set) var count = 0

    /// Creates the temporary file beside `path`. The folder must exist.
    ///
    /// - Throws: `FileSystemError`.
    public init(path: String) throws {
        self.path = path
        let (folder, name) = Self.split(path)
        // The name is random: whatever is already there is not ours, and EXCL refuses to follow it.
        let beside = "\(folder)/.\(name.prefix(50)).\(String(UInt64.random(in: 0 ... .max), radix: 36)).tmp"
        descriptor = try FileFaults.perform(.create, path) {
            open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        }
        temporary = beside
        // An existing file keeps who may read it.
        var status = stat()
        if stat(path, &status) == 0 { fchmod(descriptor, status.st_mode & 0o777) }
    }

    deinit { discard() }

    /// Appends `bytes`.
    ///
    /// - Throws: `FileSystemError`; the file can then only be discarded.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            // The system takes at most 2 GiB at once.
            let chunk = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            let written = try FileFaults.perform(.write, path) {
                #if canImport(Darwin)
                    Darwin.write(descriptor, chunk.baseAddress, chunk.count)
                #elseif canImport(Musl)
                    Musl.write(descriptor, chunk.baseAddress, chunk.count)
                #else
                    Glibc.write(descriptor, chunk.baseAddress, chunk.count)
                #endif
            }
            rest = rest.dropFirst(written)
            count += written
        }
    }

    /// Appends `bytes`.
    ///
    /// - Throws: `FileSystemError`; the file can then only be discarded.
    public func write(_ bytes: some Collection<UInt8>) throws {
        let done: Void? = try bytes.withContiguousStorageIfAvailable { try write(UnsafeRawBufferPointer($0)) }
        if done == nil { try Array(bytes).withUnsafeBytes { try write($0) } }
    }

    /// Makes the file appear under its name, complete and on the disk.
    ///
    /// - Throws: `FileSystemError`. If the step was `.syncFolder` the new file is in place but might not outlive a
    ///   power cut; before that the old file is in place.
    public func commit() throws {
        precondition(descriptor >= 0, "committed or discarded before")
        _ = try FileFaults.perform(.sync, path) { fsync(descriptor) }
        // Some network file systems report a full disk only here.
        let closing = descriptor
        descriptor = -1
        do {
            _ = try FileFaults.perform(.write, path, retries: false) { close(closing) }
            _ = try FileFaults.perform(.rename, path) { rename(temporary, path) }
        } catch {
            unlink(temporary)
            throw error
        }
        try Self.syncFolder(of: path)
    }

    /// Gives up: the temporary file goes, what was there before stays. Happens by itself when nobody commits.
    public func discard() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        unlink(temporary)
    }

    /// Makes renames and removals in the folder of `path` outlive a power cut.
    ///
    /// - Throws: `FileSystemError`.
    public static func syncFolder(of path: String) throws {
        let folder = split(path).folder
        let descriptor = try FileFaults.perform(.syncFolder, folder) { open(folder, O_RDONLY | O_CLOEXEC) }
        defer { close(descriptor) }
        do {
            _ = try FileFaults.perform(.syncFolder, folder) { fsync(descriptor) }
        } catch let error as FileSystemError where error.code == EINVAL || error.code == ENOTSUP {
            // Some file systems cannot sync a folder; they order renames by themselves.
        }
    }

    private static func split(_ path: String) -> (folder: String, name: Substring) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path[...]) }
        let folder = slash == path.startIndex ? "/" : String(path[..<slash])
        return (folder, path[path.index(after: slash)...])
    }
}

/// Writes a whole file so that it appears complete or not at all; see `AtomicFile`.
///
/// - Throws: `FileSystemError`; what was there before then stays.
public func atomicWrite(_ path: String, _ data: some Collection<UInt8>) throws {
    let file = try AtomicFile(path: path)
    try file.write(data)
    try file.commit()
}
