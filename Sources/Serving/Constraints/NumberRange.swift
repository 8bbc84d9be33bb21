/// A number in decimal digits: `mantissa · 10^exponent`.
struct DecimalNumber: Hashable {
    var mantissa: Int
    var exponent: Int

    /// The digits of a double as JSON writes them; nil for what has none.
    init?(_ text: String) {
        let parts = text.lowercased().split(separator: "e", omittingEmptySubsequences: false)
        guard let digits = parts.first, parts.count <= 2, let power = parts.count == 2 ? Int(parts[1]) : 0 else {
            return nil
        }
        let halves = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard halves.count <= 2, let value = Int(halves.joined()) else { return nil }
        mantissa = value
        exponent = power - (halves.count == 2 ? halves[1].count : 0)
        while mantissa != 0, mantissa % 10 == 0 {
            mantissa /= 10
            exponent += 1
        }
        if mantissa == 0 { exponent = 0 }
    }

    /// In units of `10^-digits`: the whole number below or at it, and whether it is the number itself. What is far away
    /// is cut to ±10^18.
    func scaled(_ digits: Int) -> (floor: Int, isExact: Bool) {
        let far = 1_000_000_000_000_000_000
        var value = mantissa, power = exponent + digits
        while power > 0, value != 0 {
            let (product, overflows) = value.multipliedReportingOverflow(by: 10)
            if overflows || abs(product) > far { return (value < 0 ? -far : far, true) }
            (value, power) = (product, power - 1)
        }
        if power >= 0 || value == 0 { return (value, true) }
        guard power > -19 else { return (value < 0 ? -1 : 0, false) }
        let divisor = (0..<(-power)).reduce(1) { product, _ in product * 10 }
        let quotient = value / divisor, isExact = value % divisor == 0
        return (value < 0 && !isExact ? quotient - 1 : quotient, isExact)
    }
}

/// Numbers within bounds, as decimal digits without an exponent: at most 15 in all, which every reader of JSON holds
/// exactly, and at most 6 of them behind the point.
struct NumberRange {
    var isInteger: Bool
    var minimum: DecimalNumber?
    var exclusiveMinimum: DecimalNumber?
    var maximum: DecimalNumber?
    var exclusiveMaximum: DecimalNumber?
    var multipleOf: DecimalNumber?

    private static let digits = 15

    /// Nil where no number fits; throws where the automaton would be too large.
    func automaton(_ budget: inout AutomatonBudget) throws(AutomatonError) -> CharacterAutomaton? {
        var modulus = 1, fraction = isInteger ? 0 : 6
        if let multipleOf {
            // In units of the last digit that a multiple may have.
            if !isInteger { fraction = max(0, -multipleOf.exponent) }
            guard fraction <= 6, multipleOf.mantissa > 0 else { throw .tooLarge }
            let power = (0..<max(0, min(18, -multipleOf.exponent - fraction))).reduce(1) { product, _ in product * 10 }
            let factor = (0..<max(0, min(18, multipleOf.exponent + fraction))).reduce(1) { product, _ in product * 10 }
            let (product, overflows) = multipleOf.mantissa.multipliedReportingOverflow(by: factor)
            modulus = product / Self.greatestCommonDivisor(product, power)
            guard !overflows, modulus <= 1000, -multipleOf.exponent <= 18, multipleOf.exponent <= 12 else {
                throw .tooLarge
            }
        }
        var net = CharacterNet()
        net.start = try net.state()
        let end = try net.state()
        net.accepting = [end]
        var sign: Int?
        // Remainders multiply the states: of large units, numbers are shorter.
        for length in 1...(modulus > 10 ? 9 : Self.digits) {
            let behind = min(fraction, Self.digits - length)
            // Multiples need all digits of their unit.
            if multipleOf != nil, behind < fraction { break }
            let (low, high) = limits(behind)
            let unit = Self.power(behind)
            let least = length == 1 ? 0 : Self.power(length - 1) * unit, most = Self.power(length) * unit - 1
            var digits = Digits(length: length, behind: behind, modulus: modulus, end: end)
            if max(low, least) <= min(high, most) {
                try digits.add(max(low, least), min(high, most), from: net.start, to: &net)
            }
            // Nothing is below zero by nothing.
            if max(-high, least, 1) <= min(-low, most) {
                if sign == nil {
                    let state = try net.state()
                    net.connect(net.start, .one(ScalarSet("-")), state)
                    sign = state
                }
                digits = Digits(length: length, behind: behind, modulus: modulus, end: end)
                try digits.add(max(-high, least, 1), min(-low, most), from: sign ?? net.start, to: &net)
            }
        }
        return try CharacterAutomaton(net, &budget)
    }

    private static func power(_ exponent: Int) -> Int { (0..<exponent).reduce(1) { product, _ in product * 10 } }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        b == 0 ? a : greatestCommonDivisor(b, a % b)
    }

    /// The least and the greatest number, in units of the last digit.
    private func limits(_ behind: Int) -> (Int, Int) {
        var low = -Self.power(18), high = Self.power(18)
        if let (floor, isExact) = minimum?.scaled(behind) { low = max(low, isExact ? floor : floor + 1) }
        if let (floor, _) = exclusiveMinimum?.scaled(behind) { low = max(low, floor + 1) }
        if let (floor, _) = maximum?.scaled(behind) { high = min(high, floor) }
        if let (floor, isExact) = exclusiveMaximum?.scaled(behind) { high = min(high, isExact ? floor - 1 : floor) }
        return (low, high)
    }

    /// The digits of numbers from `low` to `high` that have so many before and behind the point.
    private struct Digits {
        /// What the digits so far say about those that may follow.
        struct Place: Hashable {
            var index = 0
            var isLow = true
            var isHigh = true
            var remainder = 0
            /// Whether the point is behind us.
            var isBehind = false
        }

        let length: Int
        let behind: Int
        let modulus: Int
        let end: Int
        private var known: [Place: Int] = [:]
        private var low: [Int] = []
        private var high: [Int] = []

        init(length: Int, behind: Int, modulus: Int, end: Int) {
            self.length = length
            self.behind = behind
            self.modulus = modulus
            self.end = end
        }

        mutating func add(_ low: Int, _ high: Int, from start: Int, to net: inout CharacterNet) throws(AutomatonError) {
            func digits(_ value: Int) -> [Int] {
                let text = Array(String(value)).compactMap(\.wholeNumberValue)
                return [Int](repeating: 0, count: max(0, length + behind - text.count)) + text
            }
            (self.low, self.high) = (digits(low), digits(high))
            net.connect(start, .free, try state(Place(), &net))
        }

        private mutating func state(_ place: Place, _ net: inout CharacterNet) throws(AutomatonError) -> Int {
            if let found = known[place] { return found }
            let state = try net.state()
            known[place] = state
            if place.index >= length, canEnd(place) { net.connect(state, .free, end) }
            if place.index == length, behind > 0, !place.isBehind {
                var next = place
                next.isBehind = true
                net.connect(state, .one(ScalarSet(".")), try self.state(next, &net))
                return state
            }
            guard place.index < length + behind else { return state }
            let first = place.isLow ? low[place.index] : 0, last = place.isHigh ? high[place.index] : 9
            guard first <= last else { return state }
            for digit in first...last {
                let next = Place(
                    index: place.index + 1, isLow: place.isLow && digit == low[place.index],
                    isHigh: place.isHigh && digit == high[place.index],
                    remainder: (place.remainder * 10 + digit) % modulus,
                    isBehind: place.isBehind)
                net.connect(
                    state, .one(ScalarSet([UInt32(48 + digit)...UInt32(48 + digit)])), try self.state(next, &net))
            }
            return state
        }

        /// Whether zeros may be all that follows. Behind a point stands at least one digit.
        private func canEnd(_ place: Place) -> Bool {
            if place.isBehind, place.index == length { return false }
            let rest = length + behind - place.index
            let remainder = (0..<rest).reduce(place.remainder) { value, _ in value * 10 % modulus }
            return remainder == 0 && (!place.isLow || low[place.index...].allSatisfy { $0 == 0 })
        }
    }
}
