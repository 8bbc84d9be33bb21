import ArgumentParser
import Foundation
import Terminal
import Training

/// `omma launch --processes N -- train RECIPE`, or `finetune` in place of `train`.
struct LaunchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "launch", abstract: "Train with several processes, on one machine or many.",
        discussion: """
            Starts the ranks of this machine, prints their output with the rank before each line, passes signals on, and
            stops all when one of them dies. On several machines run it on each, with the same --nodes and --master.
            torchrun, Slurm (srun) and mpirun can start `omma train` and `omma finetune` as well. Ranks trust
            the network that they meet on.
            """)

    @Option(help: "Processes on this machine.") var processes: Int
    @Option(help: "Machines.") var nodes = 1
    @Option(help: "The number of this machine, from 0.") var nodeRank = 0
    @Option(help: ArgumentHelp("Where the first machine can be reached.", valueName: "host:port"))
    var master: String?
    @Option(help: "How often to go on from the newest checkpoint after a rank died.") var restarts = 0
    @Argument(parsing: .postTerminator, help: ArgumentHelp("What each rank runs.", valueName: "train RECIPE ..."))
    var command: [String] = []

    func validate() throws {
        guard 1...4096 ~= processes else { throw ValidationError("--processes is a number from 1 to 4096") }
        guard 1...65536 ~= nodes, 0..<nodes ~= nodeRank else {
            throw ValidationError("--node-rank must be from 0 to below --nodes")
        }
        guard nodes == 1 || master != nil else { throw ValidationError("--nodes wants --master HOST:PORT") }
        if let master, Self.address(master) == nil { throw ValidationError("--master is '\(master)', not HOST:PORT") }
        guard 0...1_000_000 ~= restarts else { throw ValidationError("--restarts is a number from 0") }
        // Mistakes in what each rank is told are said once, before any starts.
        let arguments = Array(command.dropFirst())
        switch command.first {
        case "train": _ = try TrainCommand.parse(arguments)
        case "finetune": _ = try FineTuneCommand.parse(arguments)
        default:
            throw ValidationError(
                "name what to run behind --, as in omma launch --processes 2 -- train RECIPE, or finetune with its options"
            )
        }
    }

    private static func address(_ text: String) -> (host: String, port: UInt16)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return nil }
        let host = text[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        return host.isEmpty ? nil : (host, port)
    }

    func run() throws {
        StopSignal.catchSignals()
        for attempt in 0... {
            let (host, port) = try master.flatMap(Self.address) ?? ("127.0.0.1", FreePort.find())
            let ranks = try Ranks(
                command: command, place: .init(host: host, port: port, attempt: attempt), processes: processes,
                first: nodeRank * processes, size: nodes * processes)
            guard let failure = ranks.wait() else { return }
            TerminalOutput.standardError.line("omma: \(failure)")
            if StopSignal.isRaised || attempt >= restarts { throw ExitCode(Failure.failed) }
            TerminalOutput.standardError.line("omma: starting all ranks again (\(attempt + 1) of \(restarts))")
        }
    }
}

/// A port of this machine that nobody listens on.
enum FreePort {
    static func find() throws -> UInt16 {
        #if canImport(Darwin)
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #else
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
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
        guard isBound else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EADDRNOTAVAIL) }
        return UInt16(bigEndian: address.sin_port)
    }
}
