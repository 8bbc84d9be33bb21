internal import Foundation

/// A file that is read in pieces, from any thread. Not mapped: a file that others shorten meanwhile must not end the
/// program.
final class FileBytes: Sendable {
    private let path: String
    private let descriptor: Int32

    /// - Throws: `ConversationFileError`.
    init(_ path: String) throws(ConversationFileError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(path, "cannot be read") }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            // `deinit` closes it: a second time might close what another thread has opened meanwhile.
            throw ConversationFileError(file: path, reason: "is no file")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func failure(_ path: String, _ what: String) -> ConversationFileError {
        ConversationFileError(file: path, reason: "\(what): \(String(cString: strerror(errno)))")
    }

    /// The whole file, piece by piece.
    func forEachChunk(_ body: ([UInt8]) -> Void) throws(ConversationFileError) {
        var offset = 0
        while true {
            let piece = try piece(offset, 1 << 20)
            if piece.isEmpty { return }
            body(piece)
            offset += piece.count
        }
    }

    /// The bytes of a range.
    func read(_ range: Range<Int>) throws(ConversationFileError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        while bytes.count < range.count {
            let piece = try piece(range.lowerBound + bytes.count, range.count - bytes.count)
            guard !piece.isEmpty else {
                throw ConversationFileError(file: path, reason: "became shorter while it was used")
            }
            bytes += piece
        }
        return bytes
    }

    private func piece(_ offset: Int, _ count: Int) throws(ConversationFileError) -> [UInt8] {
        var result = -1
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            repeat {
                result = pread(descriptor, buffer.baseAddress, count, off_t(offset))
            } while result < 0 && errno == EINTR
            filled = max(0, result)
        }
        guard result >= 0 else { throw Self.failure(path, "cannot be read") }
        return bytes
    }
}
