internal import Foundation
internal import Synchronization
internal import Torch

/// A few threads that stay, for tensor work that runs side by side. Each of them runs its operations by itself, so that
/// results do not depend on their number.
final class WorkerThreads: @unchecked Sendable {
    let count: Int
    private let condition = NSCondition()
    private var jobs: [() -> Void] = []
    private var isStopped = false

    /// - Parameter count: jobs at a time; with one they run on the caller's thread.
    init(_ count: Int) {
        self.count = max(1, count)
        guard count > 1 else { return }
        // The caller's own number is settled before any of these threads sets one.
        _ = Engine.threads
        for index in 0..<count {
            let thread = Thread { [self] in work() }
            thread.name = "omma compute \(index)"
            // Backward passes nest deeply, and the default for threads is small.
            thread.stackSize = 64 << 20
            thread.start()
        }
    }

    private func work() {
        Engine.workAlone()
        while true {
            condition.lock()
            while jobs.isEmpty && !isStopped { condition.wait() }
            if isStopped && jobs.isEmpty {
                condition.unlock()
                return
            }
            let job = jobs.removeFirst()
            condition.unlock()
            job()
        }
    }

    /// Ends the threads once their jobs are done.
    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        condition.unlock()
    }

    /// The results of `body` for `0..<count`, in order. The first failure is thrown, after all have ended.
    func map<Value>(_ count: Int, _ body: @escaping (Int) throws -> Value) throws -> [Value] {
        guard self.count > 1, count > 1 else { return try (0..<count).map(body) }
        let results = Results<Value>(count)
        condition.lock()
        for index in 0..<count {
            jobs.append {
                let result = Result { try body(index) }
                results.set(index, result)
            }
        }
        condition.broadcast()
        condition.unlock()
        return try results.wait().map { try $0.get() }
    }

    private final class Results<Value>: @unchecked Sendable {
        private let condition = NSCondition()
        private var values: [Result<Value, any Error>?]
        private var missing: Int

        init(_ count: Int) {
            values = Array(repeating: nil, count: count)
            missing = count
        }

        func set(_ index: Int, _ value: Result<Value, any Error>) {
            condition.lock()
            values[index] = value
            missing -= 1
            condition.broadcast()
            condition.unlock()
        }

        func wait() -> [Result<Value, any Error>] {
            condition.lock()
            defer { condition.unlock() }
            while missing > 0 { condition.wait() }
            return values.compactMap(\.self)
        }
    }
}

extension Engine {
    private static let turn = Mutex(())

    /// Makes the calling thread, which must be new, do its operations by itself.
    ///
    /// libtorch gives the number that any thread sets to all threads whose first operation comes later. A sum over
    /// another number of threads has other last bits: left to chance, a run would not repeat. So the number is put back.
    static func workAlone() {
        turn.withLock { _ in
            // A thread takes the others' number when it first asks for its own; after that its own stays.
            let before = Engine.threads
            Engine.threads = 1
            let done = DispatchSemaphore(value: 0)
            Thread {
                Engine.threads = before
                done.signal()
            }.start()
            done.wait()
        }
    }
}
