extension Jinja {
    /// A number as jinja2 reads it: `1_000`, `0x1F`, `0b1`, `0o7`, `1.5`, `2e3`.
    struct NumberLiteral {
        /// `nil` where it does not fit.
        private(set) var kind: Token.Kind?
        private(set) var end: Int
        private let source: [Unicode.Scalar]

        init(_ source: [Unicode.Scalar], at start: Int, afterDot: Bool) {
            self.source = source
            end = start
            if peek(0) == "0", let base = Self.base(peek(1)) {
                let digits = run(from: start + 2, leadingUnderscore: true) {
                    $0.properties.numericType != nil || isASCIILetter($0)
                }
                let valid = digits.prefix { Int(String($0), radix: base) != nil }
                if !valid.isEmpty {
                    end = scan(start + 2, count: valid.count)
                    kind = Int(text(valid), radix: base).map { .int($0) }
                    return
                }
            }
            let whole = digits(start)
            var after = whole.end
            var literal = whole.text
            var isFloat = false
            if !afterDot {
                if after + 1 < source.count, source[after] == ".", isASCIIDigit(source[after + 1]) {
                    let fraction = digits(after + 1)
                    literal += "." + fraction.text
                    after = fraction.end
                    isFloat = true
                }
                if after < source.count, source[after] == "e" || source[after] == "E" {
                    var exponent = after + 1
                    var sign = ""
                    if exponent < source.count, source[exponent] == "-" || source[exponent] == "+" {
                        sign = String(source[exponent])
                        exponent += 1
                    }
                    if exponent < source.count, isASCIIDigit(source[exponent]) {
                        let power = digits(exponent)
                        literal += "e" + sign + power.text
                        after = power.end
                        isFloat = true
                    }
                }
            }
            if isFloat {
                kind = Double(literal).map { .double($0) }
                end = after
            } else if literal.first == "0", let place = literal.firstIndex(where: { $0 != "0" }) {
                // "007" is the number 0 followed by 7, which no parser accepts; keep the first part.
                kind = .int(0)
                end = start + literal.distance(from: literal.startIndex, to: place)
            } else {
                kind = Int(literal).map { .int($0) }
                end = after
            }
        }

        private func peek(_ offset: Int) -> Unicode.Scalar? {
            end + offset < source.count ? source[end + offset] : nil
        }

        private static func base(_ scalar: Unicode.Scalar?) -> Int? {
            switch scalar {
            case "x", "X": 16
            case "o", "O": 8
            case "b", "B": 2
            default: nil
            }
        }

        private func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars)
            return String(view)
        }

        /// The scalars from `start` on that `accept` takes, without the single underscores between them.
        private func run(
            from start: Int, leadingUnderscore: Bool = false, _ accept: (Unicode.Scalar) -> Bool
        ) -> [Unicode.Scalar] {
            var result: [Unicode.Scalar] = []
            var index = start
            while index < source.count {
                let isBetween = leadingUnderscore || !result.isEmpty
                if source[index] == "_", isBetween, index + 1 < source.count, accept(source[index + 1]) { index += 1 }
                guard accept(source[index]) else { break }
                result.append(source[index])
                index += 1
            }
            return result
        }

        /// Where the first `count` scalars from `start` on end, underscores not counted.
        private func scan(_ start: Int, count: Int) -> Int {
            var index = start
            var left = count
            while left > 0, index < source.count {
                if source[index] != "_" { left -= 1 }
                index += 1
            }
            return index
        }

        private func digits(_ start: Int) -> (text: String, end: Int) {
            let digits = run(from: start, isASCIIDigit)
            return (text(digits), scan(start, count: digits.count))
        }
    }

    /// Python's escapes in string literals.
    enum StringLiteral {
        /// `nil` where an escape is malformed, stands for no character, or names one (`\\N{...}`, which is not supported).
        static func decode(_ body: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar]? {
            var result: [Unicode.Scalar] = []
            result.reserveCapacity(body.count)
            var index = body.startIndex
            while index < body.endIndex {
                let scalar = body[index]
                index += 1
                guard scalar == "\\", index < body.endIndex else {
                    result.append(scalar)
                    continue
                }
                let escape = body[index]
                index += 1
                switch escape {
                case "n": result.append("\n")
                case "t": result.append("\t")
                case "r": result.append("\r")
                case "a": result.append("\u{07}")
                case "b": result.append("\u{08}")
                case "f": result.append("\u{0C}")
                case "v": result.append("\u{0B}")
                case "\\", "'", "\"": result.append(escape)
                case "\n": break
                case "N": return nil
                case "x", "u", "U":
                    let width = escape == "x" ? 2 : escape == "u" ? 4 : 8
                    guard let value = number(body, &index, width: width, radix: 16, exact: true) else { return nil }
                    result.append(value)
                case "0"..."7":
                    index -= 1
                    guard let value = number(body, &index, width: 3, radix: 8, exact: false) else { return nil }
                    result.append(value)
                default:
                    result.append("\\")
                    result.append(escape)
                }
            }
            return result
        }

        private static func number(
            _ body: ArraySlice<Unicode.Scalar>, _ index: inout Int, width: Int, radix: UInt32, exact: Bool
        ) -> Unicode.Scalar? {
            var value: UInt32 = 0
            var count = 0
            while count < width, index < body.endIndex, let digit = Character(body[index]).hexDigitValue,
                digit < Int(radix)
            {
                value = value &* radix &+ UInt32(digit)
                index += 1
                count += 1
            }
            return exact && count < width ? nil : Unicode.Scalar(value)
        }
    }
}
