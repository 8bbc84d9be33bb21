internal import CTorch
internal import Foundation

/// Several processes that compute together, each with a rank of its own. All of them must call the same operations in
/// the same order.
///
/// An operation that cannot be completed throws `ProcessGroupError` on all ranks that are left, within the timeout, and
/// says which rank it was due to. Nothing is authenticated or encrypted: for trusted networks only.
public final class ProcessGroup: @unchecked Sendable {
    public let rank: Int
    public let size: Int
    /// For an operation of which all ranks are ready about the same time.
    public let timeout: Duration
    private let connection: Connection
    private let store: ProcessStore?
    private let heartbeat: Heartbeat?
    private let place: ProcessPlace?
    /// The rank among all processes, by which errors name them.
    private let ownName: Int
    /// Whether it is some ranks of another group, whose heartbeat it shares.
    private let isPart: Bool
    /// Groups of some of these ranks, which end with this one.
    private let parts = Parts()

    /// One process by itself: operations give back what they are given.
    public static let alone = ProcessGroup()

    private init() {
        (rank, size, timeout, ownName) = (0, 1, .seconds(120), 0)
        isPart = false
        (store, heartbeat, place) = (nil, nil, nil)
        connection = Connection(nil)
    }

    /// Meets the other processes.
    ///
    /// - Parameters:
    ///   - facts: what must be the same on all ranks, as the version and the recipe, by name.
    ///   - timeout: for meeting, and for each operation later.
    /// - Throws: `ProcessGroupError` if some do not come, or do not fit.
    public init(
        joining place: ProcessPlace, facts: [(name: String, value: String)] = [], timeout: Duration = .seconds(120)
    ) throws {
        (rank, size, ownName) = (place.rank, place.size, place.rank)
        self.timeout = timeout
        self.place = place
        isPart = false
        let address = "\(place.host):\(place.port)"
        let store: ProcessStore
        do { store = try ProcessStore(place, timeout: timeout) } catch let error as TorchError {
            throw ProcessGroupError.unreachable(rank: rank, address: address, message: error.message)
        }
        do {
            try Self.meet(place, store, facts, timeout)
            heartbeat = try Heartbeat(place, store)
            connection = try Connection(place, store, rank: place.rank, size: place.size, timeout)
        } catch let error as TorchError {
            throw ProcessGroupError.unreachable(rank: place.rank, address: address, message: error.message)
        } catch let error as ProcessGroupError {
            // The store must outlive what the others read in it.
            if place.rank == 0 { Thread.sleep(forTimeInterval: 1) }
            throw error
        }
        self.store = store
    }

    /// Some of the ranks of a group, with connections of their own.
    private init(_ members: [Int], of group: ProcessGroup, _ store: ProcessStore, _ place: ProcessPlace) throws {
        rank = members.firstIndex(of: group.rank) ?? 0
        (size, timeout, ownName) = (members.count, group.timeout, group.ownName)
        isPart = true
        (heartbeat, self.store, self.place) = (group.heartbeat, store, place)
        connection = try Connection(place, store, rank: rank, size: size, timeout)
    }

    deinit { if !isPart { heartbeat?.stop() } }

    /// A group of some of these ranks, or of all of them for another thread: operations of one group must not be called
    /// from two threads at a time.
    ///
    /// All members must call this, those of several groups in the same order.
    ///
    /// - Parameters:
    ///   - members: ranks of this group, in order, this one among them.
    ///   - name: for errors. Groups that are made one after another may have the same.
    public func subgroup(_ members: [Int], named name: String) throws -> ProcessGroup {
        precondition(members.contains(rank), "a group without this process")
        guard let store, let place, members.count > 1 else { return .alone }
        do {
            let key = "\(name)/\(members.map(String.init).joined(separator: ","))"
            // Whoever meets under a key that was used before finds what was said there then.
            let group = try ProcessGroup(members, of: self, store.prefixed("\(key)/\(parts.count(key))/"), place)
            parts.add(group)
            return group
        } catch let error as TorchError {
            throw ProcessGroupError.failed(rank: ownName, operation: "meeting for \(name)", message: error.message)
        }
    }

    /// The number of this process on its machine.
    public var localRank: Int { place?.localRank ?? 0 }

    /// Whether this is the process that writes and speaks.
    public var isMain: Bool { rank == 0 }

    /// The same ranks by connections of their own, for another thread than the one that uses this group. Made when it is
    /// first asked for, which all ranks must do at the same time.
    public func sibling() throws -> ProcessGroup {
        if let made = parts.sibling { return made }
        let made = try subgroup(Array(0..<size), named: "sibling")
        parts.sibling = made
        return made
    }

    // MARK: - meeting

    private static func meet(
        _ place: ProcessPlace, _ store: ProcessStore, _ facts: [(name: String, value: String)], _ timeout: Duration
    ) throws {
        if try store.add("came/\(place.rank)", 1) > 1 { throw ProcessGroupError.duplicate(rank: place.rank) }
        let own = [("the number of ranks (WORLD_SIZE)", String(place.size))] + facts.map { ($0.name, $0.value) }
        func text(_ facts: [(String, String)]) throws -> String {
            String(decoding: try JSONEncoder().encode(facts.map { [$0.0, $0.1] }), as: UTF8.self)
        }
        try store.set("facts/\(place.rank)", text(own))
        func compare(_ other: Int, _ said: String) throws {
            let theirs = (try? JSONDecoder().decode([[String]].self, from: Data(said.utf8))) ?? []
            for (index, (name, value)) in own.enumerated() {
                let there = theirs.indices.contains(index) ? theirs[index].last ?? "" : "unknown"
                guard there == value else {
                    throw ProcessGroupError.mismatch(
                        rank: place.rank, other: other, what: name, here: value, there: there)
                }
            }
        }
        // Rank 0 first: with another number of ranks, some of the others will never come.
        var missing = (0..<place.size).filter { $0 != place.rank }
        let end = ContinuousClock.now + timeout
        while !missing.isEmpty {
            for rank in missing {
                guard let said = try store.valueNow("facts/\(rank)") else { break }
                try compare(rank, said)
                missing.removeFirst()
            }
            guard !missing.isEmpty else { break }
            guard ContinuousClock.now < end else {
                missing = try missing.filter { try store.valueNow("facts/\($0)") == nil }
                throw ProcessGroupError.missing(
                    rank: place.rank, ranks: missing, size: place.size, address: "\(place.host):\(place.port)",
                    seconds: Int(timeout.components.seconds))
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
        // Nobody goes on before all were found to fit.
        try store.set("fits/\(place.rank)", "")
        for rank in 0..<place.size {
            do { _ = try store.value("fits/\(rank)", timeout: max(.seconds(5), end - .now)) } catch is TorchError {
                throw ProcessGroupError.peers(
                    rank: place.rank, operation: "meeting the others",
                    failures: [rank: "came and went, see what it says"])
            }
        }
    }

    /// Tells the others why this process ends, so that they can say it.
    public func leave(because error: any Error) {
        guard let heartbeat else { return }
        if !(error is ProcessGroupError) { heartbeat.say("\(error)") }
        heartbeat.stop()
        // Whoever waits for this process learns now that it waits in vain, and must still find the store then.
        parts.close()
        connection.close()
        if isMain { Thread.sleep(forTimeInterval: 2) }
    }

    // MARK: - operations

    /// What becomes of values when ranks are reduced to one.
    public enum Reduction: Int32, Sendable {
        case sum = 0
        case minimum = 1
        case maximum = 2
    }

    /// Runs an operation, and finds out whose fault it was where it fails.
    private func perform(
        _ name: String, _ tensors: [Tensor], _ timeout: Duration?,
        _ body: (OpaquePointer, Int64, UnsafeMutablePointer<ct_error>) -> Int32
    ) throws {
        guard size > 1 else { return }
        var error = ct_error()
        let code = withExtendedLifetime(tensors) {
            connection.use { body($0, (timeout ?? self.timeout).milliseconds, &error) }
        }
        guard let code else {
            throw ProcessGroupError.failed(rank: ownName, operation: name, message: "this process has left the others")
        }
        guard code != 0 else { return }
        let failure = TorchError("collective", tensors, &error)
        let failures = heartbeat?.findFailures() ?? [:]
        if failures.isEmpty { throw ProcessGroupError.failed(rank: ownName, operation: name, message: failure.message) }
        throw ProcessGroupError.peers(rank: ownName, operation: name, failures: failures)
    }

    /// Whether connections take tensors of the device as they are. Of GPUs they do where NCCL connects those of all ranks;
    /// else they read and write copies in the CPU's memory. All ranks must ask at the same time, as they do in operations
    /// on tensors of the same device.
    public func reaches(_ device: Device) throws -> Bool {
        guard size > 1, device != .cpu else { return true }
        var reaches = false
        try perform("connecting the GPUs of all ranks", [], nil) { ct_group_reaches($0, device.raw, $1, &reaches, $2) }
        return reaches
    }

    /// The tensor, or a copy where connections can read and write it.
    private func within(reach tensor: Tensor) throws -> Tensor {
        try reaches(tensor.device) ? tensor : tensor.to(.cpu)
    }

    /// Gives `body` the output, or a copy of it that connections can write.
    private func through(output: Tensor, _ body: (Tensor) throws -> Void) throws {
        let here = try within(reach: output)
        try body(here)
        if here !== output { try output.copy(from: here) }
    }

    /// Replaces the tensor by the sum over all ranks, the same bits on each.
    ///
    /// - Parameter name: of the operation, for errors.
    public func allReduce(
        _ tensor: Tensor, _ reduction: Reduction = .sum, for name: String = "all-reduce", timeout: Duration? = nil
    ) throws {
        try through(output: tensor) { tensor in
            try perform(name, [tensor], timeout) { ct_group_all_reduce($0, tensor.handle, reduction.rawValue, $1, $2) }
        }
    }

    /// Replaces the tensor by that of rank `root`.
    public func broadcast(
        _ tensor: Tensor, from root: Int = 0, for name: String = "broadcast", timeout: Duration? = nil
    ) throws {
        try through(output: tensor) { tensor in
            try perform(name, [tensor], timeout) { ct_group_broadcast($0, tensor.handle, Int32(root), $1, $2) }
        }
    }

    /// Fills `output` with the `input`s of all ranks, one after another.
    public func allGather(
        _ input: Tensor, into output: Tensor, for name: String = "all-gather", timeout: Duration? = nil
    ) throws {
        precondition(output.count == input.count * size && output.dtype == input.dtype, "room for all ranks")
        if size == 1 { return try output.copy(from: input.view(output.shape)) }
        let input = try within(reach: input)
        try through(output: output) { output in
            try perform(name, [input, output], timeout) { ct_group_all_gather($0, output.handle, input.handle, $1, $2) }
        }
    }

    /// The same for rank 0 alone: elsewhere `output` is nil.
    public func gather(
        _ input: Tensor, into output: Tensor?, for name: String = "gather", timeout: Duration? = nil
    ) throws {
        precondition((output != nil) == isMain, "rank 0 gets what all have")
        if size == 1, let output { return try output.copy(from: input.view(output.shape)) }
        let input = try within(reach: input)
        guard let output else {
            return try perform(name, [input], timeout) { ct_group_gather($0, nil, input.handle, 0, $1, $2) }
        }
        try through(output: output) { output in
            try perform(name, [input, output], timeout) { ct_group_gather($0, output.handle, input.handle, 0, $1, $2) }
        }
    }

    /// Fills `output` with this rank's part of the sum of all `input`s.
    public func reduceScatter(
        _ input: Tensor, into output: Tensor, for name: String = "reduce-scatter", timeout: Duration? = nil
    ) throws {
        precondition(input.count == output.count * size && output.dtype == input.dtype, "a part for each rank")
        if size == 1 { return try output.copy(from: input.view(output.shape)) }
        let input = try within(reach: input)
        try through(output: output) { output in
            try perform(name, [input, output], timeout) {
                ct_group_reduce_scatter($0, output.handle, input.handle, $1, $2)
            }
        }
    }

    /// Sends `sent[i]` rows of `input` to rank i, in their order, and fills `output` with `received[i]` rows of rank i.
    public func allToAll(
        _ input: Tensor, sent: [Int], into output: Tensor, received: [Int], for name: String = "all-to-all",
        timeout: Duration? = nil
    ) throws {
        precondition(sent.count == size && received.count == size && output.dtype == input.dtype, "rows of each rank")
        if size == 1 { return try output.copy(from: input) }
        let input = try within(reach: input)
        try through(output: output) { output in
            try perform(name, [input, output], timeout) { group, timeout, error in
                withSizes(received) { received, _ in
                    withSizes(sent) { sent, _ in
                        ct_group_all_to_all(group, output.handle, input.handle, received, sent, timeout, error)
                    }
                }
            }
        }
    }

    /// Waits until all ranks are here.
    public func barrier(for name: String = "barrier", timeout: Duration? = nil) throws {
        try perform(name, [], timeout) { ct_group_barrier($0, $1, $2) }
    }

    /// Groups that end when this one is left.
    private final class Parts: @unchecked Sendable {
        private let lock = NSLock()
        private var groups: [Weak] = []
        private var held: ProcessGroup?
        private var made: [String: Int] = [:]

        private struct Weak {
            weak var group: ProcessGroup?
        }

        var sibling: ProcessGroup? {
            get { lock.withLock { held } }
            set { lock.withLock { held = newValue } }
        }

        /// How many groups were made under the key before, which is the same number on all its members.
        func count(_ key: String) -> Int {
            lock.withLock {
                defer { made[key, default: 0] += 1 }
                return made[key, default: 0]
            }
        }

        func add(_ group: ProcessGroup) { lock.withLock { groups.append(Weak(group: group)) } }

        func close() {
            for group in lock.withLock({ groups }).compactMap(\.group) {
                group.parts.close()
                group.connection.close()
            }
        }
    }

    /// What leads to the other ranks, which one thread may end while another one uses it.
    private final class Connection: @unchecked Sendable {
        private let lock = NSLock()
        private var handle: OpaquePointer?
        private var users = 0
        private var isClosed = false

        init(_ handle: OpaquePointer?) { self.handle = handle }

        init(_ place: ProcessPlace, _ store: ProcessStore, rank: Int, size: Int, _ timeout: Duration) throws {
            var error = ct_error()
            // Processes of one machine need not be reachable from others.
            let host = place.isLocal ? "127.0.0.1" : nil
            handle = store.withHandle {
                ct_group_create($0, Int32(rank), Int32(size), timeout.milliseconds, host, place.interface, &error)
            }
            if handle == nil { throw TorchError("connecting all ranks", [], &error) }
        }

        deinit { close() }

        /// Nil once it is closed.
        func use<Value>(_ body: (OpaquePointer) -> Value) -> Value? {
            lock.lock()
            guard let handle, !isClosed else {
                lock.unlock()
                return nil
            }
            users += 1
            lock.unlock()
            defer {
                lock.withLock {
                    users -= 1
                    releaseIfIdle()
                }
            }
            return body(handle)
        }

        func close() {
            lock.withLock {
                isClosed = true
                releaseIfIdle()
            }
        }

        private func releaseIfIdle() {
            guard isClosed, users == 0, let handle else { return }
            ct_group_release(handle)
            self.handle = nil
        }
    }
}
