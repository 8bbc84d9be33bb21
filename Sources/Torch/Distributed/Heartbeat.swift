internal import Foundation

/// Tells the other processes twice a second that this one is alive, and asks whether they are.
final class Heartbeat: @unchecked Sendable {
    private let place: ProcessPlace
    private let store: ProcessStore
    private let condition = NSCondition()
    private var isStopped = false
    /// How long a process may be silent before it counts as gone: a busy machine delays beats.
    private static let silence = Duration.seconds(4)

    /// Starts to beat.
    init(_ place: ProcessPlace, _ store: ProcessStore) throws {
        self.place = place
        self.store = try store.clone()
        let beating = try store.clone(), own = place
        let thread = Thread { [weak self] in
            var beat = 0
            while (try? beating.set("beat/\(own.rank)", String(beat))) != nil {
                beat += 1
                guard let self else { return }
                condition.lock()
                if !isStopped { _ = condition.wait(until: Date(timeIntervalSinceNow: 0.5)) }
                let isDone = isStopped
                condition.unlock()
                if isDone { return }
            }
        }
        thread.name = "omma heartbeat"
        thread.start()
    }

    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        condition.unlock()
    }

    /// Leaves word why this process ends.
    func say(_ reason: String) { try? store.set("failed/\(place.rank)", reason) }

    /// Whose end made an operation fail: those that left word, else those that fell silent. Takes a few seconds, and
    /// never longer than ten.
    func findFailures() -> [Int: String] {
        final class Box: @unchecked Sendable {
            let done = DispatchSemaphore(value: 0)
            var failures: [Int: String]?
        }
        let box = Box()
        Thread { [self] in
            box.failures = try? search()
            box.done.signal()
        }.start()
        // A store whose process was halted answers never.
        let isAnswered = box.done.wait(timeout: .now() + 10) == .success
        if isAnswered, let failures = box.failures { return failures }
        return place.isStoreElsewhere
            ? [:] : [0: place.rank == 0 ? "cannot reach its own store" : "is gone or does not answer any more"]
    }

    private func search() throws -> [Int: String] {
        let others = (0..<place.size).filter { $0 != place.rank }
        var first: [Int: String] = [:]
        for rank in others { first[rank] = try store.valueNow("beat/\(rank)") }
        let end = ContinuousClock.now + Self.silence
        var silent = others
        while ContinuousClock.now < end {
            Thread.sleep(forTimeInterval: 0.25)
            var said: [Int: String] = [:]
            for rank in others {
                if let reason = try store.valueNow("failed/\(rank)") { said[rank] = "failed: \(reason)" }
            }
            if !said.isEmpty { return said }
            silent = try silent.filter { rank in try store.valueNow("beat/\(rank)") == first[rank] }
            if silent.isEmpty { return [:] }
        }
        return Dictionary(uniqueKeysWithValues: silent.map { ($0, "is gone") })
    }
}
