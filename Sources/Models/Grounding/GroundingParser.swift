extension GroundedRegion {
    /// Every place in an answer, in order, in whichever of the families' styles it is written.
    ///
    /// Marks may be missing, since decoders that skip special tokens drop them: a pair `(a,b),(c,d)` of numbers below
    /// 1000 is a box anywhere. Points and quads are told by their marks alone. What is broken is passed over: answers are
    /// a model's, and nothing that it writes is an error.
    public static func all(in answer: String) -> [GroundedRegion] {
        var parser = GroundingParser(answer)
        return parser.parse()
    }
}

/// Reads an answer once, byte by byte: all that it looks for is ASCII.
private struct GroundingParser {
    private enum Scope { case none, box, quad }

    private let bytes: [UInt8]
    private var position = 0
    private var regions: [GroundedRegion] = []
    /// The name that the next places belong to.
    private var name: String?
    private var nameStart: Int?
    private var scope = Scope.none

    init(_ answer: String) { bytes = Array(answer.utf8) }

    mutating func parse() -> [GroundedRegion] {
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "<"):
                if !mark() { text() }
            case UInt8(ascii: "("):
                if !points() { text() }
            case UInt8(ascii: "["):
                if !list() { text() }
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"): position += 1
            default: text()
            }
        }
        return regions
    }

    /// Words between places end what the name before them holds for.
    private mutating func text() {
        position += 1
        if nameStart == nil, scope == .none { name = nil }
    }

    private mutating func skip(_ mark: StaticString) -> Bool {
        let count = mark.utf8CodeUnitCount
        guard position + count <= bytes.count else { return false }
        for index in 0..<count where bytes[position + index] != mark.utf8Start[index] { return false }
        position += count
        return true
    }

    private mutating func mark() -> Bool {
        let start = position
        if skip("<ref>") || skip("<|object_ref_start|>") {
            nameStart = position
            name = nil
        } else if skip("</ref>") || skip("<|object_ref_end|>") {
            name = nameStart.map { String(decoding: bytes[$0..<start], as: UTF8.self) }
            nameStart = nil
        } else if skip("<box>") || skip("<|box_start|>") {
            scope = .box
        } else if skip("<quad>") || skip("<|quad_start|>") {
            scope = .quad
        } else if skip("</box>") || skip("<|box_end|>") || skip("</quad>") || skip("<|quad_end|>") {
            scope = .none
        } else {
            return false
        }
        return true
    }

    /// `(x,y),(x,y)…`: as many as follow one another.
    private mutating func points() -> Bool {
        let start = position
        var points: [SIMD2<Int>] = []
        var end = position
        while accept("("), let x = number(below: 1000), accept(","), let y = number(below: 1000), accept(")") {
            points.append(SIMD2(x, y))
            end = position
            // Two make a box; only a quad goes on.
            if points.count == (scope == .quad ? 4 : 2) { break }
            guard accept(",") else { break }
        }
        position = end
        switch (scope, points.count) {
        case (.quad, 4): regions.append(GroundedRegion(name: name, shape: .quad(points)))
        case (.box, 1): regions.append(GroundedRegion(name: name, shape: .point(points[0])))
        case (.box, 2), (.none, 2):
            let box = GroundingBox(x1: points[0].x, y1: points[0].y, x2: points[1].x, y2: points[1].y)
            regions.append(GroundedRegion(name: name, shape: .box(box)))
        default:
            position = start
            return false
        }
        return true
    }

    /// `[[x1, y1, x2, y2], …]` as InternVL2 writes boxes.
    private mutating func list() -> Bool {
        let start = position
        var found: [GroundingBox] = []
        guard accept("["), scope == .box || peek("[") else {
            position = start
            return false
        }
        let isNested = peek("[")
        repeat {
            if isNested { guard accept("[") else { break } }
            guard let x1 = number(below: 1001), accept(","), let y1 = number(below: 1001), accept(","),
                let x2 = number(below: 1001), accept(","), let y2 = number(below: 1001), accept("]")
            else { break }
            found.append(GroundingBox(x1: x1, y1: y1, x2: x2, y2: y2))
        } while isNested && accept(",")
        guard !found.isEmpty, !isNested || accept("]") else {
            position = start
            return false
        }
        regions += found.map { GroundedRegion(name: name, shape: .box($0)) }
        return true
    }

    private mutating func spaces() {
        while position < bytes.count, bytes[position] == UInt8(ascii: " ") { position += 1 }
    }

    private mutating func peek(_ character: Character) -> Bool {
        spaces()
        return position < bytes.count && bytes[position] == character.asciiValue
    }

    private mutating func accept(_ character: Character) -> Bool {
        guard peek(character) else { return false }
        position += 1
        return true
    }

    private mutating func number(below limit: Int) -> Int? {
        spaces()
        var value = 0
        var digits = 0
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]), digits < 5 {
            value = value * 10 + Int(bytes[position] - UInt8(ascii: "0"))
            digits += 1
            position += 1
        }
        return (1...4).contains(digits) && value < limit ? value : nil
    }
}
