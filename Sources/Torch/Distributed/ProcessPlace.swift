internal import Foundation

/// Which of several processes this one is, and where they meet: what launchers tell by environment variables.
public struct ProcessPlace: Sendable, Equatable {
    /// From 0.
    public var rank: Int
    /// Processes on all machines.
    public var size: Int
    /// Among the processes of this machine: the device to take.
    public var localRank: Int
    /// Where rank 0 listens.
    public var host: String
    public var port: UInt16
    /// Counts restarts, so that processes of an earlier attempt are not mistaken for those of this one.
    public var attempt: Int
    /// Whether the launcher keeps the store, as torchrun does, and not rank 0.
    public var isStoreElsewhere: Bool
    /// The network interface by which others reach this process; found by the host's name where nil.
    public var interface: String?

    public init(
        rank: Int, size: Int, localRank: Int? = nil, host: String = "127.0.0.1", port: UInt16, attempt: Int = 0,
        isStoreElsewhere: Bool = false, interface: String? = nil
    ) {
        self.rank = rank
        self.size = size
        self.localRank = localRank ?? rank
        self.host = host
        self.port = port
        self.attempt = attempt
        self.isStoreElsewhere = isStoreElsewhere
        self.interface = interface
    }

    /// Reads what `omma launch` and torchrun set (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR`, `MASTER_PORT`), or
    /// Slurm and Open MPI beside a `MASTER_ADDR` and `MASTER_PORT` of the user's; nil for a process that is alone.
    ///
    /// - Throws: `ProcessGroupError.environment` for variables that are missing or make no sense.
    public init?(environment: [String: String]) throws {
        let families = [
            ("RANK", "WORLD_SIZE", "LOCAL_RANK"), ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
            ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ]
        func number(_ name: String, _ range: ClosedRange<Int>) throws -> Int {
            guard let text = environment[name] else { throw ProcessGroupError.environment("\(name) is not set") }
            guard let value = Int(text), range.contains(value) else {
                throw ProcessGroupError.environment(
                    "\(name) is '\(text)'; it must be a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }
        // Slurm sets its variables in every job, also where one process is all.
        let found = families.enumerated().first { index, names in
            (environment[names.0] != nil || index == 0 && environment[names.1] != nil)
                && (index == 0 || environment["MASTER_ADDR"] != nil)
        }
        guard let names = found?.element else { return nil }
        let size = try number(names.1, 1...(1 << 20))
        let rank = try number(names.0, 0...(1 << 20))
        guard rank < size else {
            throw ProcessGroupError.environment("\(names.0) is \(rank), but \(names.1) is \(size): ranks count from 0")
        }
        if size == 1 { return nil }
        guard let host = environment["MASTER_ADDR"], !host.isEmpty else {
            throw ProcessGroupError.environment("MASTER_ADDR is not set")
        }
        let restarts = environment["OMMA_RESTART"] ?? environment["TORCHELASTIC_RESTART_COUNT"]
        self.init(
            rank: rank, size: size,
            localRank: environment[names.2] == nil ? rank : try number(names.2, 0...(1 << 20)), host: host,
            port: UInt16(try number("MASTER_PORT", 1...65535)), attempt: restarts.flatMap { Int($0) } ?? 0,
            isStoreElsewhere: environment["TORCHELASTIC_USE_AGENT_STORE"] == "True",
            interface: environment["GLOO_SOCKET_IFNAME"])
    }

    /// Whether all processes are on this machine.
    var isLocal: Bool { ["127.0.0.1", "localhost", "::1"].contains(host) }
}
