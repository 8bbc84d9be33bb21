extension Jinja {
    struct Token: Sendable {
        enum Kind: Sendable, Hashable {
            case text(TracedString)
            case variableBegin
            case variableEnd
            case blockBegin
            case blockEnd
            case name(String)
            case string(TracedString)
            case int(Int)
            case double(Double)
            case symbol(String)
            case end
        }

        var kind: Kind
        var line: Int
    }

    /// Cuts a template into tokens as jinja2's lexer does with `trim_blocks` and `lstrip_blocks`.
    struct Lexer {
        private let source: [Unicode.Scalar]
        private var position = 0
        private var line = 1
        private var tokens: [Token] = []
        /// Whether what stands before `position` ended a line (or is nothing).
        private var isAtLineStart = true

        static func tokens(of template: String) throws -> [Token] {
            var lexer = Lexer(template)
            try lexer.run()
            return lexer.tokens
        }

        private init(_ template: String) {
            var scalars: [Unicode.Scalar] = []
            scalars.reserveCapacity(template.utf8.count)
            for scalar in template.unicodeScalars {
                if scalar == "\n", scalars.last == "\r" {
                    scalars[scalars.count - 1] = "\n"
                    continue
                }
                scalars.append(scalar)
            }
            for index in scalars.indices where scalars[index] == "\r" { scalars[index] = "\n" }
            if scalars.last == "\n" { scalars.removeLast() }
            source = scalars
        }

        // MARK: - outside of tags

        private enum Tag { case variable, block, comment }

        private mutating func run() throws {
            while position < source.count {
                let start = position
                var open = position
                var tag: Tag?
                while open + 1 < source.count {
                    if source[open] == "{" {
                        switch source[open + 1] {
                        case "{": tag = .variable
                        case "%": tag = .block
                        case "#": tag = .comment
                        default: break
                        }
                        if tag != nil { break }
                    }
                    open += 1
                }
                guard let tag else {
                    addText(start..<source.count)
                    position = source.count
                    break
                }
                let sign = open + 2 < source.count ? source[open + 2] : " "
                let hasSign = sign == "-" || sign == "+"
                addText(start..<textEnd(start..<open, sign: sign, lstrip: tag != .variable))
                // The lines inside the text that was stripped count as well.
                line = lineNumber(at: open)
                position = open + (hasSign ? 3 : 2)
                switch tag {
                case .comment: try comment()
                case .variable: try code(begin: .variableBegin, end: .variableEnd, close: "}")
                case .block:
                    if try !raw() { try code(begin: .blockBegin, end: .blockEnd, close: "%") }
                }
            }
            tokens.append(Token(kind: .end, line: line))
        }

        private var counted = (position: 0, line: 1)

        private mutating func lineNumber(at index: Int) -> Int {
            while counted.position < index {
                if source[counted.position] == "\n" { counted.line += 1 }
                counted.position += 1
            }
            return counted.line
        }

        private mutating func addText(_ range: Range<Int>) {
            if range.isEmpty { return }
            let first = lineNumber(at: range.lowerBound)
            tokens.append(Token(kind: .text(TracedString(Array(source[range]))), line: first))
        }

        /// Where text that stands before a tag ends, after white space was stripped from it.
        private func textEnd(_ range: Range<Int>, sign: Unicode.Scalar, lstrip: Bool) -> Int {
            var end = range.upperBound
            if sign == "-" {
                while end > range.lowerBound, Jinja.isSpace(source[end - 1]) { end -= 1 }
                return end
            }
            if sign == "+" || !lstrip { return end }
            while end > range.lowerBound, source[end - 1] != "\n", Jinja.isSpace(source[end - 1]) { end -= 1 }
            let isLineStart = end == range.lowerBound ? isAtLineStart : source[end - 1] == "\n"
            return isLineStart ? end : range.upperBound
        }

        private func hasText(_ text: StaticString, at index: Int) -> Bool {
            text.withUTF8Buffer { bytes in
                guard index + bytes.count <= source.count else { return false }
                for offset in 0..<bytes.count where source[index + offset].value != UInt32(bytes[offset]) {
                    return false
                }
                return true
            }
        }

        private func skippingSpace(_ index: Int) -> Int {
            var index = index
            while index < source.count, Jinja.isSpace(source[index]) { index += 1 }
            return index
        }

        private mutating func finishTag(at end: Int) {
            isAtLineStart = end > 0 && source[end - 1] == "\n"
            position = end
        }

        /// The end of a tag whose closing sign stands at `index`, with the white space that goes with it.
        private func tagEnd(at index: Int, _ close: Unicode.Scalar, trim: Bool) -> Int? {
            guard index < source.count else { return nil }
            if source[index] == "-" {
                guard closes(index + 1, close) else { return nil }
                return skippingSpace(index + 3)
            }
            if source[index] == "+", trim {
                return closes(index + 1, close) ? index + 3 : nil
            }
            guard closes(index, close) else { return nil }
            return trim && index + 2 < source.count && source[index + 2] == "\n" ? index + 3 : index + 2
        }

        private func closes(_ index: Int, _ close: Unicode.Scalar) -> Bool {
            index + 1 < source.count && source[index] == close && source[index + 1] == "}"
        }

        private mutating func comment() throws {
            var index = position
            while index < source.count {
                // jinja2 takes the first "#}", and lets a sign before it speak.
                if let end = tagEnd(at: index, "#", trim: true) { return finishTag(at: end) }
                index += 1
            }
            // jinja2 forgives a comment that opens at the very end.
            if position == source.count { return }
            throw Fault.syntax("a comment is not closed: missing '#}'", line: line)
        }

        /// `{% raw %}` up to its end, if it stands at `position` (behind the sign of `{%`).
        private mutating func raw() throws -> Bool {
            var index = skippingSpace(position)
            guard hasText("raw", at: index) else { return false }
            index = skippingSpace(index + 3)
            if hasText("-%}", at: index) {
                index = skippingSpace(index + 3)
            } else if hasText("%}", at: index) {
                index += 2
            } else {
                return false
            }
            isAtLineStart = source[index - 1] == "\n"
            let start = index
            while index + 1 < source.count {
                if hasText("{%", at: index) {
                    let sign = index + 2 < source.count ? source[index + 2] : " "
                    let word = skippingSpace(index + (sign == "-" || sign == "+" ? 3 : 2))
                    if hasText("endraw", at: word), let end = tagEnd(at: skippingSpace(word + 6), "%", trim: true) {
                        addText(start..<textEnd(start..<index, sign: sign, lstrip: true))
                        finishTag(at: end)
                        return true
                    }
                }
                index += 1
            }
            throw Fault.syntax("a raw block is not closed: missing 'endraw'", line: line)
        }

        // MARK: - inside of tags

        private mutating func code(begin: Token.Kind, end: Token.Kind, close: Unicode.Scalar) throws {
            tokens.append(Token(kind: begin, line: line))
            var open: [Unicode.Scalar] = []
            while position < source.count {
                let scalar = source[position]
                if Jinja.isSpace(scalar) {
                    position += 1
                    continue
                }
                line = lineNumber(at: position)
                if open.isEmpty, let after = tagEnd(at: position, close, trim: close == "%") {
                    tokens.append(Token(kind: end, line: line))
                    return finishTag(at: after)
                }
                if Jinja.isNameStart(scalar) {
                    name()
                } else if scalar.value >= 0x30, scalar.value <= 0x39 {
                    try number()
                } else if scalar == "'" || scalar == "\"" {
                    try string(scalar)
                } else {
                    try symbol(&open)
                }
            }
            throw Fault.syntax("the template ends inside of a tag", line: line)
        }

        private mutating func name() {
            let start = position
            while position < source.count, Jinja.isNamePart(source[position]) { position += 1 }
            tokens.append(Token(kind: .name(TracedString(Array(source[start..<position])).string), line: line))
        }

        private mutating func symbol(_ open: inout [Unicode.Scalar]) throws {
            for text in ["//", "**", "==", "!=", ">=", "<="] as [StaticString] where hasText(text, at: position) {
                tokens.append(Token(kind: .symbol(text.description), line: line))
                position += 2
                return
            }
            let scalar = source[position]
            switch scalar {
            case "(", "[", "{": open.append(scalar)
            case ")", "]", "}":
                let partner: Unicode.Scalar = scalar == ")" ? "(" : scalar == "]" ? "[" : "{"
                guard open.popLast() == partner else { throw Fault.syntax("unexpected '\(scalar)'", line: line) }
            case "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ":", "|", ",", ";": break
            default: throw Fault.syntax("unexpected character '\(scalar)'", line: line)
            }
            tokens.append(Token(kind: .symbol(String(scalar)), line: line))
            position += 1
        }

        private mutating func number() throws {
            let literal = NumberLiteral(
                source, at: position, afterDot: position > 0 && source[position - 1] == ".")
            guard let kind = literal.kind else {
                throw Fault.syntax("the number at '\(source[position])' is too large or malformed", line: line)
            }
            tokens.append(Token(kind: kind, line: line))
            position = literal.end
        }

        private mutating func string(_ quote: Unicode.Scalar) throws {
            var index = position + 1
            while index < source.count, source[index] != quote {
                index += source[index] == "\\" ? 2 : 1
            }
            guard index < source.count else { throw Fault.syntax("a string is not closed", line: line) }
            guard let text = StringLiteral.decode(source[position + 1..<index]) else {
                throw Fault.syntax("a string holds an escape that stands for no character", line: line)
            }
            tokens.append(Token(kind: .string(TracedString(text)), line: line))
            position = index + 1
        }
    }

    static func isNameStart(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || (scalar.isASCII ? isASCIILetter(scalar) : scalar.properties.isXIDStart)
    }

    static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return isASCIILetter(scalar) || scalar == "_" || isASCIIDigit(scalar) }
        return scalar.properties.isXIDContinue
    }

    static func isASCIILetter(_ scalar: Unicode.Scalar) -> Bool {
        (0x41...0x5A).contains(scalar.value) || (0x61...0x7A).contains(scalar.value)
    }

    static func isASCIIDigit(_ scalar: Unicode.Scalar) -> Bool { (0x30...0x39).contains(scalar.value) }
}
