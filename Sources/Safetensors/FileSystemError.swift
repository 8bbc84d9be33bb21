#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// What the operating system refused, with the path and the remedy.
public struct FileSystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The step that failed.
    public enum Operation: String, Sendable, Hashable {
        case open, create, stat, map, read, write, sync, rename, syncFolder, remove, list
    }

    /// The file or folder.
    public var path: String
    /// The step that failed.
    public var operation: Operation
    /// The `errno` of the step.
    public var code: Int32

    /// Describes a refusal.
    public init(path: String, operation: Operation, code: Int32) {
        self.path = path
        self.operation = operation
        self.code = code
    }

    /// Whether there is no room: the disk, the quota or the largest file allowed is reached.
    public var isOutOfSpace: Bool { code == ENOSPC || code == EDQUOT || code == EFBIG }
    /// Whether the file or its folder is missing.
    public var isMissing: Bool { code == ENOENT || code == ENOTDIR }

    /// One line: path, step, the system's words, remedy.
    public var description: String {
        "\(path): cannot \(operation == .syncFolder ? "sync the folder" : operation.rawValue): "
            + "\(String(cString: strerror(code))); \(remedy)"
    }

    /// What the reader of the message can do.
    public var remedy: String {
        switch code {
        case ENOSPC, EDQUOT: "free some space (what was there before is untouched) and try again"
        case EFBIG: "raise the limit on file size, or save smaller shards (what was there before is untouched)"
        case ENOENT, ENOTDIR: "check the path"
        case EACCES, EPERM: "check the permissions"
        case EROFS: "the file system is read-only: choose another folder"
        case EIO: "the device failed: check it before you trust it with more"
        case EMFILE, ENFILE: "raise the limit on open files"
        case ENOMEM: "raise the limit on address space, or free memory"
        default: "try again"
        }
    }
}
