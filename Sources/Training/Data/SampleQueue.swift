internal import Foundation

/// Samples prepared ahead by threads of their own and handed over in order, however many threads there are.
final class SampleQueue: @unchecked Sendable {
    private let condition = NSCondition()
    private let prepare: @Sendable (Int) -> PreparedSample
    private let capacity: Int
    /// Numbers to hand over before counting on from `next`.
    private var first: [Int]
    private var next: Int
    /// The order in which numbers were given to threads, and what is ready.
    private var order: [Int] = []
    private var ready: [Int: PreparedSample] = [:]
    private var isStopped = false
    private var running = 0

    /// - Parameters:
    ///   - first: numbers that come before `next`, as after a resume.
    ///   - capacity: samples ready or in work at most.
    init(
        first: [Int], next: Int, workers: Int, capacity: Int, prepare: @escaping @Sendable (Int) -> PreparedSample
    ) {
        self.first = first.reversed()
        self.next = next
        self.capacity = max(capacity, workers)
        self.prepare = prepare
        for _ in 0..<workers {
            running += 1
            // Threads, not tasks: preparing blocks, and must not take the pool that others wait on.
            let thread = Thread { [self] in work() }
            thread.name = "omma samples"
            thread.qualityOfService = .utility
            thread.start()
        }
    }

    private func work() {
        while let number = take() {
            let sample = prepare(number)
            condition.lock()
            ready[number] = sample
            condition.broadcast()
            condition.unlock()
        }
        condition.lock()
        running -= 1
        condition.broadcast()
        condition.unlock()
    }

    private func take() -> Int? {
        condition.lock()
        defer { condition.unlock() }
        while order.count >= capacity && !isStopped { condition.wait() }
        if isStopped { return nil }
        let number =
            first.popLast()
            ?? {
                defer { next += 1 }; return next
            }()
        order.append(number)
        return number
    }

    /// The next sample in order; waits for it.
    func pop() -> PreparedSample {
        condition.lock()
        defer { condition.unlock() }
        while true {
            if let number = order.first, let sample = ready.removeValue(forKey: number) {
                order.removeFirst()
                condition.broadcast()
                return sample
            }
            condition.wait()
        }
    }

    /// Ends the threads and waits for them.
    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        while running > 0 { condition.wait() }
        condition.unlock()
    }
}
