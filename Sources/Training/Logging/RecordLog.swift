import Foundation
import Safetensors
import Synchronization

/// A file to which whole records are appended, and that never stops the work it tells of.
///
/// A record that does not fit (a full disk, a lost device) is taken back whole, so that readers find only whole
/// records; that is said once, counted, and said again when writing works once more.
final class RecordLog: Sendable {
    private struct State {
        var descriptor: Int32
        var lost = 0
        var lostSinceWarning = 0
    }

    let path: String
    private let warn: @Sendable (String) -> Void
    private let state: Mutex<State>

    /// Opens `path` for appending, and creates it where it is missing.
    ///
    /// - Parameter repair: is given the file's bytes and answers how many of them are whole records.
    /// - Throws: `FileSystemError`.
    init(
        path: String, warn: @escaping @Sendable (String) -> Void, repair: ((Data) -> Int)? = nil
    ) throws {
        self.path = path
        self.warn = warn
        let descriptor = try FileFaults.perform(.open, path) {
            open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        }
        state = Mutex(State(descriptor: descriptor))
        var status = stat()
        // A device or a pipe has no records to look at, and may have no end.
        guard let repair, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
        if let content = try? Data(contentsOf: URL(filePath: path), options: .mappedIfSafe), !content.isEmpty {
            let whole = repair(content)
            guard whole < content.count else { return }
            warn("\(path): the last \(content.count - whole) bytes were a record cut short; they are dropped")
            _ = try FileFaults.perform(.write, path) { ftruncate(descriptor, off_t(whole)) }
        }
    }

    deinit { close() }

    /// How many records could not be written.
    var lost: Int { state.withLock(\.lost) }

    /// Appends a whole record, or nothing.
    func append(_ record: [UInt8]) {
        state.withLock { state in
            guard state.descriptor >= 0 else { return }
            let end = lseek(state.descriptor, 0, SEEK_END)
            do {
                var rest = record[...]
                while !rest.isEmpty {
                    let written = try FileFaults.perform(.write, path) {
                        rest.withUnsafeBytes { write(state.descriptor, $0.baseAddress, $0.count) }
                    }
                    rest = rest.dropFirst(written)
                }
                if state.lostSinceWarning > 0 {
                    warn("\(path): writing works again; \(state.lostSinceWarning) records were lost")
                    state.lostSinceWarning = 0
                }
            } catch {
                if end >= 0 { _ = ftruncate(state.descriptor, end) }
                state.lost += 1
                state.lostSinceWarning += 1
                if state.lostSinceWarning == 1 { warn("\(error); the work goes on without this log") }
            }
        }
    }

    /// Makes what was written outlive a power cut.
    func sync() {
        state.withLock { state in
            if state.descriptor >= 0 { _ = fsync(state.descriptor) }
        }
    }

    func close() {
        state.withLock { state in
            guard state.descriptor >= 0 else { return }
            #if canImport(Darwin)
                _ = Darwin.close(state.descriptor)
            #else
                _ = Foundation.close(state.descriptor)
            #endif
            state.descriptor = -1
        }
    }
}
