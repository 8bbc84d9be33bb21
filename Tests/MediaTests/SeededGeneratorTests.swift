import Media
import Testing

@Suite struct SeededGeneratorTests {
    /// The published reference code, state {1, 2, 3, 4}, cannot be reached through a seed; what a seed gives is locked
    /// here instead, since stored data sets depend on it.
    @Test func sequenceIsLocked() {
        var generator = SeededGenerator(seed: 0)
        #expect(
            (0..<3).map { _ in generator.next() } == [
                0x99EC_5F36_CB75_F2B4, 0xBF6E_1F78_4956_452A, 0x1A5F_849D_4933_E6E0,
            ])
    }

    @Test func streamsDiffer() {
        var seen: Set<UInt64> = []
        for seed in 0..<10 as Range<UInt64> {
            for stream in 0..<100 as Range<UInt64> {
                var generator = SeededGenerator(seed: seed, stream: stream)
                seen.insert(generator.next())
            }
        }
        #expect(seen.count == 1000)
    }

    @Test func integersAreUniform() {
        var generator = SeededGenerator(seed: 9)
        var counts = [Int](repeating: 0, count: 6)
        for _ in 0..<60000 { counts[generator.integer(-2...3) + 2] += 1 }
        for count in counts { #expect(abs(count - 10000) < 500) }
        #expect(generator.integer(5...5) == 5)
        _ = generator.integer(Int.min...Int.max)
    }

    @Test func normalsAndUniformsHaveTheirMoments() {
        var generator = SeededGenerator(seed: 10)
        let normals = (0..<50000).map { _ in generator.normal() }
        #expect(abs(normals.reduce(0, +) / 50000) < 0.02)
        #expect(abs(normals.reduce(0) { $0 + $1 * $1 } / 50000 - 1) < 0.03)
        let uniforms = (0..<50000).map { _ in generator.uniform() }
        #expect(abs(uniforms.reduce(0, +) / 50000 - 0.5) < 0.01)
        #expect(uniforms.allSatisfy { (0..<1).contains($0) })
    }

    @Test func weightsAndOrders() {
        var generator = SeededGenerator(seed: 11)
        var counts = [0, 0, 0]
        for _ in 0..<10000 { counts[generator.index(weights: [1, 0, 3])] += 1 }
        #expect(counts[1] == 0 && abs(counts[0] - 2500) < 200)
        #expect(generator.shuffled(0..<100).sorted() == Array(0..<100))
    }
}
