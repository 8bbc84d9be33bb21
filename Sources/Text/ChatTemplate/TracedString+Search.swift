/// Python's string methods as far as they only move scalars about: they keep every scalar's origin.
extension Jinja.TracedString {
    typealias Chars = Jinja.TracedString

    // MARK: - white space

    enum Side { case left, right, both }

    func strip(_ side: Side = .both, where drop: (Unicode.Scalar) -> Bool = Jinja.isSpace) -> Chars {
        var low = 0
        var high = count
        if side != .right { while low < high, drop(scalars[low]) { low += 1 } }
        if side != .left { while high > low, drop(scalars[high - 1]) { high -= 1 } }
        return slice(low..<high)
    }

    func strip(_ side: Side, characters: Chars?) -> Chars {
        guard let characters else { return strip(side) }
        let set = Set(characters.scalars)
        return strip(side) { set.contains($0) }
    }

    // MARK: - searching

    func matches(_ needle: Chars, at index: Int) -> Bool {
        guard index >= 0, index + needle.count <= count else { return false }
        for offset in 0..<needle.count where scalars[index + offset] != needle.scalars[offset] { return false }
        return true
    }

    func hasPrefix(_ prefix: Chars) -> Bool { matches(prefix, at: 0) }
    func hasSuffix(_ suffix: Chars) -> Bool { matches(suffix, at: count - suffix.count) }
    func contains(_ needle: Chars) -> Bool { firstIndex(of: needle) != nil }

    func firstIndex(of needle: Chars, in range: Range<Int>? = nil) -> Int? {
        let range = range ?? 0..<count
        if needle.isEmpty { return range.lowerBound }
        if needle.count > range.count { return nil }
        if needle.count > 16 { return occurrences(of: needle, in: range, limit: 1).first }
        var index = range.lowerBound
        while index + needle.count <= range.upperBound {
            if matches(needle, at: index) { return index }
            index += 1
        }
        return nil
    }

    func lastIndex(of needle: Chars, in range: Range<Int>? = nil) -> Int? {
        let range = range ?? 0..<count
        if needle.isEmpty { return range.upperBound }
        if needle.count > 16 {
            let mirrored = Chars(Array(scalars[range].reversed()))
            guard let index = mirrored.firstIndex(of: Chars(Array(needle.scalars.reversed()))) else { return nil }
            return range.upperBound - index - needle.count
        }
        var index = range.upperBound - needle.count
        while index >= range.lowerBound {
            if matches(needle, at: index) { return index }
            index -= 1
        }
        return nil
    }

    /// Where `needle` (not empty) begins, without overlaps, in linear time (Knuth, Morris and Pratt).
    func occurrences(of needle: Chars, in range: Range<Int>? = nil, limit: Int = .max) -> [Int] {
        let range = range ?? 0..<count
        guard !needle.isEmpty, needle.count <= range.count, limit > 0 else { return [] }
        var fallback = [Int](repeating: 0, count: needle.count)
        var length = 0
        for index in 1..<max(1, needle.count) {
            while length > 0, needle.scalars[index] != needle.scalars[length] { length = fallback[length - 1] }
            if needle.scalars[index] == needle.scalars[length] { length += 1 }
            fallback[index] = length
        }
        var result: [Int] = []
        length = 0
        for index in range {
            while length > 0, scalars[index] != needle.scalars[length] { length = fallback[length - 1] }
            if scalars[index] == needle.scalars[length] { length += 1 }
            if length == needle.count {
                result.append(index + 1 - length)
                if result.count >= limit { break }
                length = 0
            }
        }
        return result
    }

    // MARK: - splitting

    /// `str.split()`: at runs of white space, at most `limit` times where it is not negative.
    func splitAtSpace(limit: Int) -> [Chars] {
        var result: [Chars] = []
        var index = 0
        while true {
            while index < count, Jinja.isSpace(scalars[index]) { index += 1 }
            if index == count { return result }
            if limit >= 0, result.count >= limit {
                result.append(slice(index..<count))
                return result
            }
            let start = index
            while index < count, !Jinja.isSpace(scalars[index]) { index += 1 }
            result.append(slice(start..<index))
        }
    }

    func splitAtSpaceFromRight(limit: Int) -> [Chars] {
        if limit < 0 { return splitAtSpace(limit: limit) }
        var result: [Chars] = []
        var index = count
        while true {
            while index > 0, Jinja.isSpace(scalars[index - 1]) { index -= 1 }
            if index == 0 { break }
            if result.count >= limit {
                result.append(slice(0..<index))
                break
            }
            let end = index
            while index > 0, !Jinja.isSpace(scalars[index - 1]) { index -= 1 }
            result.append(slice(index..<end))
        }
        return result.reversed()
    }

    func split(at separator: Chars, limit: Int) -> [Chars] {
        var result: [Chars] = []
        var start = 0
        for index in occurrences(of: separator, limit: limit < 0 ? .max : limit) {
            result.append(slice(start..<index))
            start = index + separator.count
        }
        result.append(slice(start..<count))
        return result
    }

    func splitFromRight(at separator: Chars, limit: Int) -> [Chars] {
        if limit < 0 { return split(at: separator, limit: limit) }
        let mirrored = Chars(scalars.reversed()).occurrences(of: Chars(separator.scalars.reversed()), limit: limit)
        var result: [Chars] = []
        var end = count
        for index in mirrored {
            let begin = count - index - separator.count
            result.append(slice(begin + separator.count..<end))
            end = begin
        }
        result.append(slice(0..<end))
        return result.reversed()
    }

    func splitLines(keepEnds: Bool = false) -> [Chars] {
        var result: [Chars] = []
        var start = 0
        var index = 0
        while index < count {
            guard Jinja.isLineEnd(scalars[index]) else {
                index += 1
                continue
            }
            var next = index + 1
            if scalars[index] == "\r", next < count, scalars[next] == "\n" { next += 1 }
            result.append(slice(start..<(keepEnds ? next : index)))
            start = next
            index = next
        }
        if start < count { result.append(slice(start..<count)) }
        return result
    }

    // MARK: - replacing

    /// Where `replace` puts the new text: before each index, dropping `old.count` scalars from it on.
    func replacementPlaces(of old: Chars, limit: Int) -> [Int] {
        let limit = limit < 0 ? Int.max : limit
        if old.isEmpty { return Array((0...count).prefix(limit)) }
        return occurrences(of: old, limit: limit)
    }

    func replacing(_ old: Chars, at places: [Int], with new: Chars) -> Chars {
        if places.isEmpty { return plain }
        var result = Chars()
        var start = 0
        for place in places {
            result.append(slice(start..<place))
            result.append(new)
            start = place + old.count
        }
        result.append(slice(start..<count))
        return result
    }
}

extension Jinja {
    /// `str.isspace` for one character, which is also what `\s` matches.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x20, 0x09...0x0D, 0x1C...0x1F, 0x85, 0xA0: true
        case ..<0x80: false
        default: scalar.properties.isWhitespace
        }
    }

    /// Where `str.splitlines` splits.
    static func isLineEnd(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }
}
