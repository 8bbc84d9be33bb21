/// What came of comparing a tensor with its golden.
public struct GoldenReport: Sendable, Hashable, CustomStringConvertible {
    /// The golden's name.
    public var name: String
    /// How many elements were compared one by one.
    public var compared = 0
    /// The largest difference.
    public var maximumDifference = 0.0
    /// The largest share of its allowance that a difference took: above 1 is a failure. For exact goldens 0 or
    /// infinite.
    public var worstShare = 0.0
    /// The difference allowed at the element of `worstShare`.
    public var allowed = 0.0
    /// The element of `worstShare`: its index in each dimension.
    public var worstIndex: [Int] = []
    /// Rows whose largest element stands elsewhere than in the golden, within tolerance.
    public var tiedRows = 0
    /// What is wrong, a line each; empty where the tensor holds.
    public var faults: [String] = []

    /// Whether the tensor agrees with its golden.
    public var holds: Bool { faults.isEmpty }

    /// One line for a test's message or a table.
    public var description: String {
        let numbers =
            "\(compared) compared, largest difference \(maximumDifference), allowed \(allowed) at \(worstIndex)"
        return "\(name): \(holds ? "holds" : "FAILS") (\(numbers))"
            + faults.prefix(4).map { "\n  \($0)" }.joined()
    }

    /// Compares element by element. Equal infinities and two NaN agree: the reference had them too.
    mutating func compare(
        _ values: some RandomAccessCollection<Double>, with golden: [Double], rule: GoldenTensor.Rule, part: String,
        index: (Int) -> [Int]
    ) {
        guard values.count == golden.count else {
            faults.append("\(part): \(values.count) elements, the golden has \(golden.count)")
            return
        }
        var wrong = 0
        var firstWrong: String?
        for (position, (value, expected)) in zip(values, golden).enumerated() {
            let same = value == expected || (value.isNaN && expected.isNaN)
            let difference = same ? 0 : abs(value - expected)
            let allowance = rule.allowance(at: expected)
            // A NaN on one side only, or an infinity: no allowance covers it.
            let share = same ? 0 : difference.isFinite && allowance > 0 ? difference / allowance : .infinity
            if share > 1 {
                wrong += 1
                if firstWrong == nil { firstWrong = "\(value) instead of \(expected) at \(index(position))" }
            }
            maximumDifference = max(maximumDifference, difference.isNaN ? .infinity : difference)
            if share > worstShare || (compared == 0 && position == 0) {
                (worstShare, allowed, worstIndex) = (share, allowance, index(position))
            }
        }
        compared += golden.count
        if let firstWrong { faults.append("\(part): \(wrong) of \(golden.count) elements differ, first \(firstWrong)") }
    }
}
