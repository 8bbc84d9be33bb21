import Foundation
import TestSupport

/// The built `omma`, run as a process, as a person or a script would.
struct Program {
    /// How a run ended and what it wrote.
    struct Outcome {
        var status: Int32
        var output: String
        var errors: String

        /// The output as one JSON object.
        func json() throws -> [String: Any] {
            try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any] ?? [:]
        }
    }

    /// A checkpoint of a few kilobytes whose answers are gibberish.
    static let model = Fixtures.goldens.appending(path: "qwen2vl_small").path
    static let picture = model + "/images/small_a.png"

    /// Beside the bundle of the tests.
    static let path: String = {
        let program = URL(filePath: CommandLine.arguments.first ?? "")
        var folders = [program.deletingLastPathComponent(), Bundle.main.bundleURL]
        folders += Bundle.allBundles.filter { $0.bundlePath.hasSuffix(".xctest") }
            .map { $0.bundleURL.deletingLastPathComponent() }
        let candidates = folders.map { $0.appending(path: "omma").path }
        return candidates.first { FileManager.default.isExecutableFile(atPath: $0) } ?? "omma-was-not-built"
    }()

    /// How long a run may take, in seconds. Who reads what a program writes that hangs would hang, too.
    private static let limit = 600.0

    /// A process that is not yet started, with its pipes. It is killed when it takes longer than `limit` from now.
    static func process(
        _ arguments: [String], environment: [String: String] = [:]
    ) -> (process: Process, input: Pipe, output: Pipe, errors: Pipe) {
        // Who writes to a program that has gone gets an error; the signal would end the tests.
        signal(SIGPIPE, SIG_IGN)
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment
        variables["OMMA_MODEL"] = nil
        process.environment = variables.merging(environment) { $1 }
        let pipes = (Pipe(), Pipe(), Pipe())
        process.standardInput = pipes.0
        process.standardOutput = pipes.1
        process.standardError = pipes.2
        let watch = Thread {
            let end = Date(timeIntervalSinceNow: limit)
            while Date.now < end, process.processIdentifier == 0 || process.isRunning {
                Thread.sleep(forTimeInterval: 1)
            }
            if process.isRunning {
                print("killed after \(Int(limit)) s: omma \(arguments.joined(separator: " "))")
                kill(process.processIdentifier, SIGKILL)
            }
        }
        watch.start()
        return (process, pipes.0, pipes.1, pipes.2)
    }

    /// Runs it to the end.
    static func run(
        _ arguments: String..., input: Data = Data(), environment: [String: String] = [:]
    ) throws -> Outcome {
        try run(arguments, input: input, environment: environment)
    }

    static func run(
        _ arguments: [String], input: Data = Data(), environment: [String: String] = [:]
    ) throws -> Outcome {
        let (process, inputPipe, output, errors) = process(arguments, environment: environment)
        try process.run()
        // A program that reads nothing may be gone before all is written.
        try? inputPipe.fileHandleForWriting.write(contentsOf: input)
        try? inputPipe.fileHandleForWriting.close()
        // Of two pipes that are read one after the other the second may fill up first.
        let said = Reader(errors), written = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return Outcome(
            status: process.terminationStatus, output: String(decoding: written, as: UTF8.self),
            errors: String(decoding: said.data(), as: UTF8.self))
    }

    /// Reads a pipe to its end on a thread of its own.
    private final class Reader: @unchecked Sendable {
        private let done = DispatchSemaphore(value: 0)
        private var read = Data()

        init(_ pipe: Pipe) {
            Thread { [self] in
                read = (try? pipe.fileHandleForReading.readToEnd()) ?? Data()
                done.signal()
            }.start()
        }

        func data() -> Data {
            done.wait()
            return read
        }
    }
}
