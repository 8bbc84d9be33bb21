import CStandInDevice
import Foundation
import TestSupport
import Testing
import Torch

/// Ranks as threads: each has connections of its own, as processes have.
@Suite(.inTurn) struct ProcessGroupTests {
    private func ranks<Value: Sendable>(
        _ count: Int, timeout: Duration = .seconds(30), facts: @escaping @Sendable (Int) -> String = { _ in "same" },
        _ body: @escaping @Sendable (ProcessGroup) throws -> Value
    ) throws -> [Result<Value, any Error>] {
        let port = try Ranks.freePort()
        return Ranks.run(count) { rank in
            Engine.threads = 1
            let group = try ProcessGroup(
                joining: ProcessPlace(rank: rank, size: count, port: port), facts: [("a fact", facts(rank))],
                timeout: timeout)
            return try body(group)
        }
    }

    @Test func aPeerThatHasGoneEndsNoProcess() throws {
        for result in try ranks(2, { group in try group.barrier() }) { try result.get() }
        var action = sigaction()
        #expect(sigaction(SIGPIPE, nil, &action) == 0)
        #if canImport(Darwin)
            let handler = action.__sigaction_u.__sa_handler
        #else
            let handler = action.__sigaction_handler.sa_handler
        #endif
        #expect(unsafeBitCast(handler, to: Int.self) != unsafeBitCast(SIG_DFL, to: Int.self))
    }

    @Test(arguments: [2, 3, 4]) func operations(_ count: Int) throws { try operations(count, on: .cpu) }

    /// Ranks whose devices are connected, as NCCL connects GPUs, and others, that copy through the CPU's memory.
    @Test(.enabled(if: stand_in_device_is_there()), arguments: [2, 3], [true, false])
    func operationsOnDevices(_ count: Int, _ areConnected: Bool) throws {
        stand_in_device_hold_ranks(areConnected)
        defer { stand_in_device_release_ranks() }
        let before = stand_in_device_collectives()
        try operations(count, on: .mps, areConnected)
        #expect(stand_in_device_collectives() - before == (areConnected ? 7 * count : 0))
    }

    private func operations(_ count: Int, on device: Device, _ areConnected: Bool = true) throws {
        let all = try ranks(count) { group -> [[Float]] in
            func tensor(_ values: [Float]) throws -> Tensor { try Tensor(values).to(device) }
            func zeros(_ shape: [Int]) throws -> Tensor { try Tensor.zeros(shape).to(device) }
            #expect(try group.reaches(device) == areConnected)
            let own = Float(group.rank + 1)
            let sum = try tensor([own, 2 * own]), largest = try tensor([own])
            try group.allReduce(sum)
            try group.allReduce(largest, .maximum)
            let first = try tensor([own])
            try group.broadcast(first, from: 1)
            let gathered = try zeros([count, 2])
            try group.allGather(tensor([own, -own]), into: gathered)
            let part = try zeros([2])
            try group.reduceScatter(tensor((0..<2 * count).map { Float($0) * own }), into: part)
            let main = group.isMain ? try zeros([count]) : nil
            try group.gather(tensor([own]), into: main)
            try group.barrier()
            // Rank r sends i + 1 rows to rank i.
            var rows: [Float] = []
            for other in 0..<count { rows += Array(repeating: Float(10 * group.rank + other), count: other + 1) }
            let exchanged = try zeros([count * (group.rank + 1)])
            try group.allToAll(
                tensor(rows), sent: (1...count).map { $0 }, into: exchanged,
                received: Array(repeating: group.rank + 1, count: count))
            return try [sum, largest, first, gathered, part].map { try $0.to(.cpu).floats() }
                + [try main?.to(.cpu).floats() ?? [], try exchanged.to(.cpu).floats()]
        }
        let numbers = (1...count).map(Float.init), total = numbers.reduce(0, +)
        for (rank, result) in all.enumerated() {
            let values = try result.get()
            #expect(values[0] == [total, 2 * total])
            #expect(values[1] == [Float(count)])
            #expect(values[2] == [2])
            let pairs: [Float] = numbers.flatMap { [$0, -$0] }
            #expect(values[3] == pairs)
            let first = Float(2 * rank)
            #expect(values[4] == [first * total, (first + 1) * total])
            #expect(values[5] == (rank == 0 ? numbers : []))
            var received: [Float] = []
            for other in 0..<count { received += Array(repeating: Float(10 * other + rank), count: rank + 1) }
            #expect(values[6] == received)
        }
    }

    @Test(.enabled(if: stand_in_device_is_there())) func aDeviceThatNeverComesEndsTheOthersWait() throws {
        stand_in_device_hold_ranks(true)
        defer { stand_in_device_release_ranks() }
        let all = try ranks(2, timeout: .seconds(20)) { group in
            let x = try Tensor([1 as Float]).to(.mps)
            try group.allReduce(x)
            guard group.rank == 0 else { return try group.barrier() }
            // The other one waits for something else.
            let error = try #require(throws: ProcessGroupError.self) {
                try group.allReduce(x, for: "adding up", timeout: .milliseconds(300))
            }
            #expect(error.description.contains("adding up") && error.description.contains("timed out after 300 ms"))
            // It stays so: who came late would add up something else.
            #expect(throws: ProcessGroupError.self) { try group.allReduce(x) }
            try group.barrier()
        }
        for result in all { try result.get() }
    }

    @Test func halfPrecisionAndNumbers() throws {
        let all = try ranks(2) { group -> [[Double]] in
            let sum = try Tensor([Float(group.rank) + 0.5]).to(.bfloat16)
            try group.allReduce(sum)
            let gathered = try Tensor.zeros([2], dtype: .bfloat16)
            try group.allGather(Tensor([Float(group.rank) + 1]).to(.bfloat16), into: gathered)
            let word = try group.fromMain("a word") { Data("word".utf8) }
            return try [sum.doubles(), gathered.doubles(), [Double(word.count)]]
                + group.gathered([Double(group.rank), 7])
        }
        for result in all { #expect(try result.get() == [[2], [1, 2], [4], [0, 7], [1, 7]]) }
    }

    @Test func parcelsOfAnySizeArrive() throws {
        let all = try ranks(3) { group -> [[Data]] in
            // Some are empty, and in the second round all are.
            let parcels = (0..<3).map { Data(repeating: UInt8(10 * group.rank + $0), count: group.rank * $0 * 1000) }
            return [try group.exchange(parcels), try group.exchange(Array(repeating: Data(), count: 3))]
        }
        for (rank, result) in all.enumerated() {
            let found = try result.get()
            #expect(found[0] == (0..<3).map { Data(repeating: UInt8(10 * $0 + rank), count: $0 * rank * 1000) })
            #expect(found[1] == Array(repeating: Data(), count: 3))
        }
    }

    @Test func partsOfAGroupWorkByThemselvesAndFromOtherThreads() throws {
        let all = try ranks(4) { group -> [Float] in
            let pair = try group.subgroup(group.rank < 2 ? [0, 1] : [2, 3], named: "pairs")
            let again = try group.subgroup(group.rank < 2 ? [0, 1] : [2, 3], named: "pairs")
            try again.barrier()
            let own = try group.subgroup([group.rank], named: "alone")
            let other = try group.sibling()
            #expect(pair.size == 2 && pair.rank == group.rank % 2 && own.size == 1 && other.rank == group.rank)
            let sums = try (0..<3).map { _ in try Tensor([Float(1 << group.rank)]) }
            // Two threads, in no order.
            let thread = Thread { for _ in 0..<50 { try? other.allReduce(sums[0], .maximum) } }
            thread.start()
            for _ in 0..<50 { try group.allReduce(sums[1], .maximum) }
            try pair.allReduce(sums[2])
            while !thread.isFinished { Thread.sleep(forTimeInterval: 0.01) }
            try group.barrier()
            return try sums.flatMap { try $0.floats() }
        }
        for (rank, result) in all.enumerated() { #expect(try result.get() == [8, 8, rank < 2 ? Float(3) : 12]) }
    }

    /// What libtorch's own record of collectives is not made for, see `distributed.cpp`.
    @Test func groupsThatBeginAtTheSameTimeAreInNobodysWay() throws {
        let all = try ranks(2) { group -> Int in
            var right = 0
            for round in 0..<4 {
                let groups = try (0..<8).map { try group.subgroup([0, 1], named: "round \(round), \($0)") }
                let sums = try groups.indices.map { try Tensor([Float($0 + group.rank)]) }
                try group.barrier()
                let threads = zip(groups, sums).map { group, sum in
                    Thread { for _ in 0..<20 { try? group.allReduce(sum, .maximum) } }
                }
                for thread in threads { thread.start() }
                while !threads.allSatisfy(\.isFinished) { Thread.sleep(forTimeInterval: 0.005) }
                right += try sums.indices.filter { try sums[$0].item() == Double($0 + 1) }.count
            }
            return right
        }
        for result in all { #expect(try result.get() == 32) }
    }

    @Test func operationsWithinAPassHaveGradients() throws {
        let all = try ranks(2) { group -> [[Float]] in
            let own = Double(group.rank + 1)
            func gradient(_ shape: [Int], _ body: (Tensor) throws -> Tensor) throws -> [Float] {
                let x = try Tensor.full(shape, own)
                try x.setRequiresGradient(true)
                let output = try withGradient { try body(x) }
                let weight = try Tensor.full(output.shape, 10 * own)
                let found = try Tensor.gradients(of: [output], weightedBy: [weight], for: [x])
                return try output.floats() + (found[0]?.floats() ?? [])
            }
            let anchor = try Tensor.zeros([1])
            try anchor.setRequiresGradient(true)
            // Rank 0 sends one row to itself and two to rank 1, which sends none.
            let (sent, received) = group.rank == 0 ? ([1, 2], [1, 0]) : ([0, 0], [2, 0])
            let rows = group.rank == 0 ? 3 : 0
            return [
                try gradient([1]) { try group.entering($0) }, try gradient([1]) { try group.summing($0) },
                try gradient([rows, 1]) {
                    try group.exchangingRows($0, sent: sent, received: received, anchor: anchor)
                },
            ]
        }
        // Values, then gradients.
        #expect(try all[0].get() == [[1, 30], [3, 10], [1, 10, 20, 20]])
        #expect(try all[1].get() == [[2, 30], [3, 20], [1, 1]])
    }

    @Test func whatFailsOnRankZeroFailsEverywhere() throws {
        struct Bad: Error, CustomStringConvertible { var description: String { "the disk is full" } }
        let all = try ranks(3) { group in
            _ = try group.fromMain("saving") { throw Bad() }
        }
        #expect(throws: Bad.self) { try all[0].get() }
        for rank in 1...2 {
            let error = try #require(throws: ProcessGroupError.self) { try all[rank].get() }
            #expect(
                error == .peers(rank: rank, operation: "saving", failures: [0: "failed: the disk is full"]), "\(error)")
        }
    }

    @Test func aRankThatLeavesIsNamedWithItsReason() throws {
        struct Bad: Error, CustomStringConvertible { var description: String { "no memory" } }
        let start = ContinuousClock.now
        let all = try ranks(3) { group in
            do {
                if group.rank == 2 { throw Bad() }
                try group.allReduce(Tensor.ones([4]), for: "adding up")
            } catch {
                group.leave(because: error)
                throw error
            }
        }
        for rank in 0...1 {
            let error = try #require(throws: ProcessGroupError.self) { try all[rank].get() }
            #expect(error == .peers(rank: rank, operation: "adding up", failures: [2: "failed: no memory"]), "\(error)")
        }
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    @Test func aRankThatWaitsForeverIsToldApart() throws {
        let all = try ranks(2, timeout: .seconds(1)) { group in
            // Alive, but elsewhere.
            if group.rank == 1 { return Thread.sleep(forTimeInterval: 5) }
            try group.allReduce(Tensor.ones([4]), for: "adding up")
        }
        let error = try #require(throws: ProcessGroupError.self) { try all[0].get() }
        guard case .failed(0, "adding up", _) = error else {
            Issue.record("\(error)")
            return
        }
    }

    @Test func thoseThatDoNotFitAreRefused() throws {
        let all = try ranks(2, facts: { "\($0)" }, { _ in })
        for (rank, result) in all.enumerated() {
            let error = try #require(throws: ProcessGroupError.self) { try result.get() }
            #expect(
                error == .mismatch(rank: rank, other: 1 - rank, what: "a fact", here: "\(rank)", there: "\(1 - rank)"))
        }
        let port = try Ranks.freePort()
        let sizes = Ranks.run(2) { rank in
            _ = try ProcessGroup(
                joining: ProcessPlace(rank: rank, size: 2 + rank, port: port), timeout: .seconds(10))
        }
        for result in sizes {
            let error = try #require(throws: ProcessGroupError.self) { try result.get() }
            #expect("\(error)".contains("WORLD_SIZE"), "\(error)")
        }
    }

    @Test func thoseThatDoNotComeAreNamed() throws {
        let port = try Ranks.freePort()
        let error = try #require(throws: ProcessGroupError.self) {
            _ = try ProcessGroup(joining: ProcessPlace(rank: 0, size: 3, port: port), timeout: .seconds(1))
        }
        #expect("\(error)".contains("these did not come: 1, 2"), "\(error)")
    }

    @Test func environmentsOfLaunchers() throws {
        let torchrun = [
            "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "29500",
            "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2",
        ]
        let place = try ProcessPlace(environment: torchrun)
        #expect(
            place
                == ProcessPlace(
                    rank: 3, size: 4, localRank: 1, host: "node0", port: 29500, attempt: 2, isStoreElsewhere: true))
        let slurm = ["SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"]
        // A job with one process of ours sets them, too.
        #expect(try ProcessPlace(environment: slurm) == nil)
        let slurmed = try ProcessPlace(environment: slurm.merging(["MASTER_ADDR": "a", "MASTER_PORT": "9"]) { $1 })
        #expect(slurmed == ProcessPlace(rank: 1, size: 2, localRank: 0, host: "a", port: 9))
        #expect(try ProcessPlace(environment: [:]) == nil)
        #expect(try ProcessPlace(environment: ["RANK": "0", "WORLD_SIZE": "1"]) == nil)
        for (name, value) in [
            ("RANK", "4"), ("RANK", "x"), ("WORLD_SIZE", "-1"), ("MASTER_PORT", "70000"), ("MASTER_ADDR", ""),
        ] {
            let error = try #require(throws: ProcessGroupError.self) {
                try ProcessPlace(environment: torchrun.merging([name: value]) { $1 })
            }
            #expect("\(error)".contains(name), "\(error)")
        }
    }
}
