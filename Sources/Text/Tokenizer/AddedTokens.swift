/// A token that is found in the text before anything else happens to it.
struct AddedToken: Sendable, Hashable {
    var id: Int32
    var content: [UInt8]
    /// Only where no word character touches it.
    var singleWord = false
    /// Swallows the white space before it.
    var stripsLeft = false
    /// Swallows the white space behind it.
    var stripsRight = false
    /// Is looked for in the normalised text.
    var normalized = false
    var special = true
}

/// Finds added tokens: the leftmost first, of those the longest (added_vocabulary.rs of the Rust library).
struct AddedTokenMatcher: Sendable {
    struct Match {
        var id: Int32
        /// The place of the token with the white space that it swallows.
        var range: Range<Int>
        /// Where the token itself begins.
        var start: Int
    }

    private let tokens: [AddedToken]
    private var isFirst = [Bool](repeating: false, count: 256)
    /// From node and byte to node.
    private var edges: [UInt64: Int32] = [:]
    /// The token that ends in a node, or -1.
    private var ends: [Int32] = [-1]

    /// - Parameter keys: what to look for, for each token: its content, normalised if need be.
    init(_ tokens: [AddedToken], keys: [[UInt8]]) {
        self.tokens = tokens
        for (index, key) in keys.enumerated() {
            guard let first = key.first else { continue }
            isFirst[Int(first)] = true
            var node = 0
            for byte in key {
                let edge = UInt64(node) << 8 | UInt64(byte)
                if let next = edges[edge] {
                    node = Int(next)
                } else {
                    edges[edge] = Int32(ends.count)
                    node = ends.count
                    ends.append(-1)
                }
            }
            if ends[node] < 0 { ends[node] = Int32(index) }
        }
    }

    var isEmpty: Bool { ends.count == 1 }

    /// The matches in a range, of those that `allowed` lets through.
    func matches(_ bytes: [UInt8], _ range: Range<Int>, allowed: ((Range<Int>) -> Bool)?) -> [Match] {
        if isEmpty { return [] }
        var result: [Match] = []
        var index = range.lowerBound
        var consumed = range.lowerBound
        while index < range.upperBound {
            guard isFirst[Int(bytes[index])],
                let (token, end) = longest(bytes, index, range.upperBound, allowed)
            else {
                index += 1
                continue
            }
            let start = index
            index = end
            if token.singleWord, touchesWord(bytes, start..<end, in: range) { continue }
            var match = Match(id: token.id, range: max(start, consumed)..<max(end, consumed), start: start)
            if token.stripsLeft {
                var left = match.range.lowerBound
                while left > consumed {
                    let (scalar, length) = decodeScalarBefore(bytes, left)
                    if UnicodeClass.table[Int(scalar)] & UnicodeClass.space == 0 { break }
                    left -= length
                }
                match.range = max(left, consumed)..<match.range.upperBound
            }
            if token.stripsRight {
                var right = match.range.upperBound
                while right < range.upperBound {
                    let (scalar, length) = decodeScalar(bytes, right)
                    if UnicodeClass.table[Int(scalar)] & UnicodeClass.space == 0 { break }
                    right += length
                }
                match.range = match.range.lowerBound..<right
            }
            consumed = match.range.upperBound
            result.append(match)
        }
        return result
    }

    private func longest(
        _ bytes: [UInt8], _ start: Int, _ limit: Int, _ allowed: ((Range<Int>) -> Bool)?
    ) -> (AddedToken, Int)? {
        var node = 0
        var index = start
        var found: (AddedToken, Int)?
        while index < limit, let next = edges[UInt64(node) << 8 | UInt64(bytes[index])] {
            node = Int(next)
            index += 1
            let token = ends[node]
            if token >= 0, allowed?(start..<index) ?? true { found = (tokens[Int(token)], index) }
        }
        return found
    }

    private func touchesWord(_ bytes: [UInt8], _ match: Range<Int>, in range: Range<Int>) -> Bool {
        if match.lowerBound > range.lowerBound,
            isWordScalar(decodeScalarBefore(bytes, match.lowerBound).scalar)
        {
            return true
        }
        return match.upperBound < range.upperBound && isWordScalar(decodeScalar(bytes, match.upperBound).scalar)
    }
}

/// `\w` of Unicode regular expressions: Alphabetic, M, Nd, Pc and Join_Control.
func isWordScalar(_ value: UInt32) -> Bool {
    guard let scalar = Unicode.Scalar(value) else { return false }
    if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return false
    }
}
