public import Testing

/// One test at a time of all that have this trait, whichever suite they are of. A test that waits for its turn holds no
/// thread: the few that asynchronous code runs on are left to others, such as servers under test.
public struct Turns: TestTrait, SuiteTrait, TestScoping {
    public var isRecursive: Bool { true }

    public func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard testCase != nil else { return try await function() }
        await Line.shared.enter()
        do { try await function() } catch {
            await Line.shared.leave()
            throw error
        }
        await Line.shared.leave()
    }

    private actor Line {
        static let shared = Line()
        private var isTaken = false
        private var waiting: [CheckedContinuation<Void, Never>] = []

        func enter() async {
            guard isTaken else {
                isTaken = true
                return
            }
            await withCheckedContinuation { waiting.append($0) }
        }

        func leave() {
            if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
        }
    }
}

extension Trait where Self == Turns {
    /// For tests that run several ranks in this process: libtorch keeps some of its state by process, and was made for one
    /// rank in each.
    public static var inTurn: Self { Turns() }
}
