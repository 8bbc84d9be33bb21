/// A regular expression of a tokenizer file.
///
/// Matches by backtracking, as the reference's Oniguruma does, but with a limit on steps: a file from outside must not be
/// able to hang the program.
struct Expression: Sendable {
    fileprivate enum Instruction: Sendable {
        case set(ScalarSet)
        /// As many scalars of a set as the bounds allow, the most or the fewest first.
        case run(ScalarSet, minimum: Int, maximum: Int, isLazy: Bool)
        /// Goes on at the first, and at the second if that fails.
        case fork(Int, Int)
        case jump(Int)
        /// Remembers the position where a turn of a loop begins.
        case mark(Int)
        /// Fails if a turn of a loop took nothing.
        case progress(Int)
        case look(body: Int, widths: ClosedRange<Int>?, isNegated: Bool, next: Int)
        case atomic(body: Int, next: Int)
        case assert(Assertion)
        case accept
    }

    fileprivate enum Assertion: Sendable { case textStart, textEnd, lineStart, lineEnd, boundary, noBoundary }

    private static let sizeLimit = 20_000
    private let pattern: String
    private var program: [Instruction] = []
    private var marks = 0

    /// - Throws: `TokenizerError.unsupported` for what this engine does not do.
    init(_ pattern: String, field: String) throws(TokenizerError) {
        self.pattern = pattern
        try compile(try ExpressionParser.parse(pattern, field: field), field)
        try emit(.accept, field)
    }

    /// The non-empty matches in a range, from left to right.
    ///
    /// - Throws: `TokenizerError.expressionTooSlow` when the work is out of proportion to the text.
    func matches(_ bytes: [UInt8], _ range: Range<Int>) throws(TokenizerError) -> [Range<Int>] {
        var matcher = Matcher(program: program, marks: marks, bytes: bytes, range: range, pattern: pattern)
        var result: [Range<Int>] = []
        var index = range.lowerBound
        while index < range.upperBound {
            if let end = try matcher.match(from: index), end > index {
                result.append(index..<end)
                index = end
            } else {
                index += decodeScalar(bytes, index).length
            }
        }
        return result
    }

    private mutating func emit(_ instruction: Instruction, _ field: String) throws(TokenizerError) {
        if program.count >= Self.sizeLimit { throw .unsupported(field: field, value: "a pattern of this size") }
        program.append(instruction)
    }

    private mutating func compile(_ node: ExpressionNode, _ field: String) throws(TokenizerError) {
        switch node {
        case .set(let set): try emit(.set(set), field)
        case .sequence(let nodes): for node in nodes { try compile(node, field) }
        case .alternatives(let nodes):
            var jumps: [Int] = []
            for (index, node) in nodes.enumerated() {
                let fork = program.count
                let isLast = index == nodes.count - 1
                if !isLast { try emit(.fork(fork + 1, 0), field) }
                try compile(node, field)
                if !isLast {
                    jumps.append(program.count)
                    try emit(.jump(0), field)
                    program[fork] = .fork(fork + 1, program.count)
                }
            }
            for jump in jumps { program[jump] = .jump(program.count) }
        case .loop(let body, let minimum, let maximum, .possessive):
            try compile(.atomic(.loop(body, minimum: minimum, maximum: maximum, .greedy)), field)
        case .loop(.set(let set), let minimum, let maximum, let greed):
            try emit(.run(set, minimum: minimum, maximum: maximum ?? .max, isLazy: greed == .lazy), field)
        case .loop(let body, let minimum, let maximum, let greed):
            try compileLoop(body, minimum, maximum, isLazy: greed == .lazy, field)
        case .look(let body, let ahead, let isNegated):
            let at = program.count
            try emit(.accept, field)
            try compile(body, field)
            try emit(.accept, field)
            let width = body.width
            let widths = ahead ? nil : width.least...max(width.greatest ?? width.least, width.least)
            program[at] = .look(body: at + 1, widths: widths, isNegated: isNegated, next: program.count)
        case .atomic(let body):
            let at = program.count
            try emit(.accept, field)
            try compile(body, field)
            try emit(.accept, field)
            program[at] = .atomic(body: at + 1, next: program.count)
        case .textStart: try emit(.assert(.textStart), field)
        case .textEnd: try emit(.assert(.textEnd), field)
        case .lineStart: try emit(.assert(.lineStart), field)
        case .lineEnd: try emit(.assert(.lineEnd), field)
        case .wordBoundary(let isNegated): try emit(.assert(isNegated ? .noBoundary : .boundary), field)
        }
    }

    private mutating func compileLoop(
        _ body: ExpressionNode, _ minimum: Int, _ maximum: Int?, isLazy: Bool, _ field: String
    ) throws(TokenizerError) {
        func fork(_ enter: Int, _ leave: Int) -> Instruction { isLazy ? .fork(leave, enter) : .fork(enter, leave) }
        for _ in 0..<minimum { try compile(body, field) }
        if let maximum {
            var forks: [Int] = []
            for _ in minimum..<max(maximum, minimum) {
                forks.append(program.count)
                try emit(.jump(0), field)
                try compile(body, field)
            }
            for at in forks { program[at] = fork(at + 1, program.count) }
        } else {
            let start = program.count
            let mark = marks
            marks += 1
            try emit(.jump(0), field)
            try emit(.mark(mark), field)
            try compile(body, field)
            try emit(.progress(mark), field)
            try emit(.jump(start), field)
            program[start] = fork(start + 1, program.count)
        }
    }
}

/// One search through a text.
private struct Matcher {
    /// A way that was not taken yet, or a mark to put back.
    private enum Choice {
        case resume(at: Int, position: Int)
        /// A run that may end earlier, not before `least`.
        case shorten(at: Int, position: Int, least: Int)
        /// A run that may take more scalars.
        case lengthen(at: Int, position: Int, ScalarSet, more: Int)
        case restore(mark: Int, position: Int)
    }

    let program: [Expression.Instruction]
    let bytes: [UInt8]
    let range: Range<Int>
    let pattern: String
    private var marks: [Int]
    private var choices: [Choice] = []
    private var stepsLeft: Int

    init(program: [Expression.Instruction], marks: Int, bytes: [UInt8], range: Range<Int>, pattern: String) {
        self.program = program
        self.bytes = bytes
        self.range = range
        self.pattern = pattern
        self.marks = [Int](repeating: -1, count: marks)
        stepsLeft = 1_000_000 + range.count * 200
    }

    mutating func match(from start: Int) throws(TokenizerError) -> Int? { try run(0, start) }

    private mutating func spend(_ steps: Int = 1) throws(TokenizerError) {
        stepsLeft -= steps
        if stepsLeft < 0 { throw .expressionTooSlow(pattern: pattern) }
    }

    /// Runs from an instruction to `accept`; the position there.
    private mutating func run(_ start: Int, _ from: Int) throws(TokenizerError) -> Int? {
        let base = choices.count
        defer { choices.removeLast(choices.count - base) }
        var at = start
        var position = from
        while true {
            try spend()
            var goesOn = true
            switch program[at] {
            case .accept: return position
            case .set(let set):
                if position < range.upperBound {
                    let (scalar, length) = decodeScalar(bytes, position)
                    goesOn = set.contains(scalar)
                    position += length
                    at += 1
                } else {
                    goesOn = false
                }
            case .run(let set, let minimum, let maximum, let isLazy):
                let (least, end) = try extent(set, position, minimum, isLazy ? minimum : maximum)
                if let least {
                    at += 1
                    if isLazy, maximum > minimum {
                        choices.append(.lengthen(at: at, position: end, set, more: maximum - minimum))
                    } else if end > least {
                        choices.append(.shorten(at: at, position: end, least: least))
                    }
                    position = end
                } else {
                    goesOn = false
                }
            case .fork(let first, let second):
                choices.append(.resume(at: second, position: position))
                at = first
            case .jump(let target): at = target
            case .mark(let mark):
                choices.append(.restore(mark: mark, position: marks[mark]))
                marks[mark] = position
                at += 1
            case .progress(let mark):
                goesOn = marks[mark] != position
                at += 1
            case .look(let body, let widths, let isNegated, let next):
                goesOn = try look(body, widths, position) != isNegated
                at = next
            case .atomic(let body, let next):
                if let end = try run(body, position) { position = end } else { goesOn = false }
                at = next
            case .assert(let assertion):
                goesOn = holds(assertion, position)
                at += 1
            }
            if !goesOn {
                guard let choice = try backtrack(to: base) else { return nil }
                (at, position) = choice
            }
        }
    }

    /// Where a run of a set ends at the least and at the most.
    private mutating func extent(
        _ set: ScalarSet, _ start: Int, _ minimum: Int, _ maximum: Int
    ) throws(TokenizerError) -> (least: Int?, end: Int) {
        var index = start
        var count = 0
        var least = minimum == 0 ? start : nil
        while count < maximum, index < range.upperBound {
            let (scalar, length) = decodeScalar(bytes, index)
            if !set.contains(scalar) { break }
            index += length
            count += 1
            if count == minimum { least = index }
        }
        try spend(count)
        return (least, index)
    }

    private mutating func backtrack(to base: Int) throws(TokenizerError) -> (Int, Int)? {
        while choices.count > base, let choice = choices.popLast() {
            try spend()
            switch choice {
            case .resume(let at, let position): return (at, position)
            case .restore(let mark, let position): marks[mark] = position
            case .shorten(let at, let position, let least):
                let earlier = position - decodeScalarBefore(bytes, position).length
                if earlier > least { choices.append(.shorten(at: at, position: earlier, least: least)) }
                return (at, earlier)
            case .lengthen(let at, let position, let set, let more):
                guard position < range.upperBound else { continue }
                let (scalar, length) = decodeScalar(bytes, position)
                guard set.contains(scalar) else { continue }
                if more > 1 { choices.append(.lengthen(at: at, position: position + length, set, more: more - 1)) }
                return (at, position + length)
            }
        }
        return nil
    }

    private mutating func look(
        _ body: Int, _ widths: ClosedRange<Int>?, _ position: Int
    ) throws(TokenizerError) -> Bool {
        guard let widths else { return try run(body, position) != nil }
        var start = position
        for width in 0...widths.upperBound {
            if widths.contains(width), try run(body, start) == position { return true }
            if start <= range.lowerBound { return false }
            start -= decodeScalarBefore(bytes, start).length
        }
        return false
    }

    private func holds(_ assertion: Expression.Assertion, _ position: Int) -> Bool {
        func isWord(_ value: UInt32?) -> Bool { value.map { isWordScalar($0) } ?? false }
        switch assertion {
        case .textStart: return position == range.lowerBound
        case .textEnd: return position == range.upperBound
        case .lineStart: return position == range.lowerBound || bytes[position - 1] == 0x0A
        case .lineEnd: return position == range.upperBound || bytes[position] == 0x0A
        case .boundary, .noBoundary:
            let before = position > range.lowerBound ? decodeScalarBefore(bytes, position).scalar : nil
            let after = position < range.upperBound ? decodeScalar(bytes, position).scalar : nil
            return (isWord(before) != isWord(after)) == (assertion == .boundary)
        }
    }
}
