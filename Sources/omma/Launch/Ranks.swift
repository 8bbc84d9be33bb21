import Foundation
import Terminal
import Training

/// The processes of one attempt on this machine.
final class Ranks {
    struct Place {
        var host: String
        var port: UInt16
        var attempt: Int
    }

    /// A rank that ended badly.
    struct RankFailure: CustomStringConvertible {
        var rank: Int
        var process: Int32
        var status: Int32
        var isSignal: Bool
        /// Those that did not end by themselves: halted, or busy.
        var killed: [Int] = []

        var description: String {
            let how =
                isSignal
                ? "was killed by signal \(status)\(Self.names[status].map { " (\($0))" } ?? "")"
                : "ended with status \(status)"
            let others =
                killed.isEmpty
                ? "the other ranks stopped"
                : "did not stop by themselves and were killed: \(killed.map(String.init).joined(separator: ", "))"
            return "rank \(rank) (process \(process)) \(how); \(others)"
        }

        private static let names: [Int32: String] = [
            SIGKILL: "SIGKILL", SIGTERM: "SIGTERM", SIGINT: "SIGINT", SIGSEGV: "SIGSEGV", SIGABRT: "SIGABRT",
            SIGBUS: "SIGBUS",
        ]
    }

    private var ranks: [(rank: Int, process: Process)] = []
    private var lines: [PrefixedLines] = []
    /// How long ranks may take to notice that one of them is gone, and to say so.
    private static let grace = Duration.seconds(15)

    /// Starts them.
    init(command: [String], place: Place, processes: Int, first: Int, size: Int) throws {
        for local in 0..<processes {
            let process = Process()
            process.executableURL = Self.program
            process.arguments = command + (place.attempt > 0 ? ["--resume-or-start"] : [])
            var variables = ProcessInfo.processInfo.environment
            variables["RANK"] = String(first + local)
            variables["LOCAL_RANK"] = String(local)
            variables["WORLD_SIZE"] = String(size)
            variables["LOCAL_WORLD_SIZE"] = String(processes)
            variables["MASTER_ADDR"] = place.host
            variables["MASTER_PORT"] = String(place.port)
            variables["OMMA_RESTART"] = String(place.attempt)
            variables[LauncherWatch.variable] = String(ProcessInfo.processInfo.processIdentifier)
            if variables["OMP_NUM_THREADS"] == nil {
                let share = ProcessInfo.processInfo.activeProcessorCount / processes
                variables["OMP_NUM_THREADS"] = String(max(1, share))
            }
            // Of libtorch's own warnings, as about a store that is gone, a reader learns nothing.
            if variables["TORCH_CPP_LOG_LEVEL"] == nil { variables["TORCH_CPP_LOG_LEVEL"] = "ERROR" }
            process.environment = variables
            process.standardInput = FileHandle.nullDevice
            for (isError, output) in [(false, TerminalOutput.standardOutput), (true, .standardError)] {
                let pipe = Pipe()
                if isError { process.standardError = pipe } else { process.standardOutput = pipe }
                lines.append(PrefixedLines(pipe.fileHandleForReading, "[\(first + local)] ", to: output))
            }
            do { try process.run() } catch {
                for (_, process) in ranks { kill(process.processIdentifier, SIGKILL) }
                throw error
            }
            ranks.append((first + local, process))
        }
        let numbers = ranks.map { String($0.process.processIdentifier) }.joined(separator: ", ")
        TerminalOutput.standardError.line("omma: \(processes) of \(size) ranks as processes \(numbers)")
    }

    private static var program: URL {
        #if os(Linux)
            URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        #else
            Bundle.main.executableURL ?? URL(filePath: CommandLine.arguments[0])
        #endif
    }

    /// Waits for all of them, and passes signals on. Where one ends badly, the others are stopped.
    ///
    /// - Returns: the first that ended badly.
    func wait() -> RankFailure? {
        var running = ranks, failure: RankFailure?
        var isSignalled = false
        var deadline: ContinuousClock.Instant?
        while !running.isEmpty {
            if StopSignal.isRaised, !isSignalled {
                isSignalled = true
                for (_, process) in running {
                    kill(process.processIdentifier, StopSignal.name == "SIGINT" ? SIGINT : SIGTERM)
                }
            }
            let ended = running.filter { !$0.process.isRunning }
            running.removeAll { entry in ended.contains { $0.rank == entry.rank } }
            let bad = ended.compactMap { entry -> RankFailure? in
                let status = entry.process.terminationStatus
                let isSignal = entry.process.terminationReason == .uncaughtSignal
                guard isSignal || status != 0 else { return nil }
                return RankFailure(
                    rank: entry.rank, process: entry.process.processIdentifier, status: status, isSignal: isSignal)
            }
            // Of several, one that was killed is the cause: the others noticed.
            if failure == nil, let first = bad.first(where: \.isSignal) ?? bad.first {
                failure = first
                deadline = .now + Self.grace
            }
            if let end = deadline, .now > end {
                for (_, process) in running { kill(process.processIdentifier, SIGKILL) }
                failure?.killed = running.map(\.rank)
                deadline = nil
            }
            if !running.isEmpty { Thread.sleep(forTimeInterval: 0.02) }
        }
        for lines in lines { lines.finish() }
        return failure
    }
}

/// Ends a rank whose launcher is gone: nobody would stop it any more.
enum LauncherWatch {
    static let variable = "OMMA_LAUNCHER"

    /// Starts to look, in a process that was started by `omma launch`.
    static func start() {
        guard let launcher = ProcessInfo.processInfo.environment[variable].flatMap({ Int32($0) }) else { return }
        let thread = Thread {
            while getppid() == launcher { Thread.sleep(forTimeInterval: 0.5) }
            _exit(128 + SIGTERM)
        }
        thread.name = "omma launcher watch"
        thread.start()
    }
}

/// Passes what a process writes on, line by line, with a few characters before each.
final class PrefixedLines: @unchecked Sendable {
    private let prefix: String
    private let output: TerminalOutput
    private let handle: FileHandle
    private let done = DispatchSemaphore(value: 0)
    /// Several processes write to one output: whole lines only.
    private static let turn = NSLock()

    init(_ handle: FileHandle, _ prefix: String, to output: TerminalOutput) {
        self.prefix = prefix
        self.output = output
        self.handle = handle
        let thread = Thread { [self] in pass() }
        thread.name = "omma output"
        thread.start()
    }

    private func pass() {
        var rest: [UInt8] = []
        while let data = try? handle.read(upToCount: 1 << 16), !data.isEmpty {
            rest += data
            // Progress that rewrites its line becomes lines.
            while let end = rest.firstIndex(where: { $0 == 10 || $0 == 13 }) {
                if end > 0 { write(rest[..<end]) }
                rest.removeFirst(end + 1)
            }
            if rest.count > 1 << 20 {
                write(rest[...])
                rest = []
            }
        }
        if !rest.isEmpty { write(rest[...]) }
        done.signal()
    }

    private func write(_ line: ArraySlice<UInt8>) {
        Self.turn.lock()
        output.line(prefix + String(decoding: line, as: UTF8.self))
        Self.turn.unlock()
    }

    /// Waits for the end of the output, but not for what a process left behind holds open.
    func finish() { _ = done.wait(timeout: .now() + 2) }
}
