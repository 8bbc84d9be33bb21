import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Where text for people goes: standard error or output, which may be a terminal, a file, a pipe or closed.
///
/// Writing never fails and never ends the program: what nobody can read is dropped.
public final class TerminalOutput: Sendable {
    /// Standard error, where progress and warnings go.
    public static let standardError = TerminalOutput(descriptor: 2)
    /// Standard output, where results go.
    public static let standardOutput = TerminalOutput(descriptor: 1)

    /// Whether a person's terminal is at the other end, which can redraw a line.
    public let isTerminal: Bool
    /// Whether colours are wanted: a terminal, and `NO_COLOR` unset or empty; or `CLICOLOR_FORCE`.
    public let hasColour: Bool
    /// Whether characters beyond ASCII can be shown.
    public let isUnicode: Bool
    private let descriptor: Int32
    private let fixedColumns: Int?
    private let isOpen: Atomic<Bool>

    /// The output of a file descriptor, which stays the caller's.
    ///
    /// - Parameters:
    ///   - descriptor: the file descriptor.
    ///   - terminal: in place of asking the system.
    ///   - columns: in place of asking the system.
    ///   - environment: in place of the process's.
    public init(
        descriptor: Int32, terminal: Bool? = nil, columns: Int? = nil, environment: ((String) -> String?)? = nil
    ) {
        self.descriptor = descriptor
        fixedColumns = columns
        let variable = environment ?? { getenv($0).map { String(cString: $0) } }
        func set(_ name: String) -> Bool { variable(name).map { !$0.isEmpty } ?? false }
        // Asked once and remembered: a closed descriptor's number may later be given to a file, which must not get
        // our text.
        isOpen = Atomic(fcntl(descriptor, F_GETFD) >= 0)
        isTerminal = (terminal ?? (isatty(descriptor) == 1)) && variable("TERM") != "dumb"
        hasColour = !set("NO_COLOR") && (isTerminal || set("CLICOLOR_FORCE"))
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].compactMap(variable).first { !$0.isEmpty } ?? ""
        isUnicode = locale.lowercased().contains("utf")
    }

    /// The width of the terminal now, 80 where there is none.
    public var columns: Int {
        if let fixedColumns { return fixedColumns }
        var size = winsize()
        guard isTerminal, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Writes `text` as it is.
    public func write(_ text: String) {
        guard isOpen.load(ordering: .relaxed) else { return }
        var rest = Array(text.utf8)[...]
        withoutBrokenPipeSignal {
            while !rest.isEmpty {
                let written = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
                if written >= 0 {
                    rest = rest.dropFirst(written)
                } else if errno != EINTR {
                    // Nobody reads any more, or never did. A full disk or a busy pipe may pass: only this text is lost.
                    if errno == EPIPE || errno == EBADF { isOpen.store(false, ordering: .relaxed) }
                    return
                }
            }
        }
    }

    /// Writes `text` and a line break.
    public func line(_ text: String) { write(text + "\n") }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    #if canImport(Darwin)
        Darwin.write(descriptor, bytes, count)
    #elseif canImport(Musl)
        Musl.write(descriptor, bytes, count)
    #else
        Glibc.write(descriptor, bytes, count)
    #endif
}

/// Holds back the signal that would end the program because the reader of a pipe has gone, on this thread alone.
private func withoutBrokenPipeSignal(_ body: () -> Void) {
    var pipe = sigset_t()
    var old = sigset_t()
    var pending = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    sigpending(&pending)
    let wasPending = sigismember(&pending, SIGPIPE) == 1
    pthread_sigmask(SIG_BLOCK, &pipe, &old)
    body()
    sigpending(&pending)
    if !wasPending, sigismember(&pending, SIGPIPE) == 1 {
        var signal: Int32 = 0
        sigwait(&pipe, &signal)
    }
    pthread_sigmask(SIG_SETMASK, &old, nil)
}
