import Foundation

extension Jinja {
    /// How `%` and `format` write one value: Python's format specification.
    struct FormatSpecification {
        var fill: TracedString = TracedString(" ")
        /// One of `<`, `>`, `=`, `^`; `nil` is what the type does.
        var alignment: Unicode.Scalar?
        /// One of `+`, `-` and blank.
        var sign: Unicode.Scalar = "-"
        var alternate = false
        var grouping: Unicode.Scalar?
        var width = 0
        var precision: Int?
        var type: Unicode.Scalar?

        static let largest = 100_000

        init() {}

        /// Reads `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
        init(_ text: TracedString) throws {
            let scalars = text.scalars
            var index = 0
            func isAlignment(_ place: Int) -> Bool {
                place < scalars.count && ["<", ">", "=", "^"].contains(scalars[place])
            }
            func next(_ accepted: [Unicode.Scalar]) -> Unicode.Scalar? {
                guard index < scalars.count, accepted.contains(scalars[index]) else { return nil }
                defer { index += 1 }
                return scalars[index]
            }
            func number() throws -> Int? {
                var result: Int?
                while index < scalars.count, let digit = Character(scalars[index]).wholeNumberValue,
                    scalars[index].isASCII
                {
                    result = (result ?? 0) * 10 + digit
                    if result ?? 0 > FormatSpecification.largest { throw Fault.limit("too wide a format") }
                    index += 1
                }
                return result
            }
            if isAlignment(1) {
                fill = text.slice(0..<1)
                alignment = scalars[1]
                index = 2
            } else if isAlignment(0) {
                alignment = scalars[0]
                index = 1
            }
            if let found = next(["+", "-", " "]) { sign = found }
            alternate = next(["#"]) != nil
            if next(["0"]) != nil, alignment == nil {
                fill = TracedString("0")
                alignment = "="
            }
            width = try number() ?? 0
            grouping = next([",", "_"])
            if next(["."]) != nil {
                precision = try number()
                if precision == nil { throw Fault.value("format specifier missing precision") }
            }
            if index < scalars.count {
                type = scalars[index]
                index += 1
            }
            if index < scalars.count { throw Fault.value("invalid format specifier '\(text.string)'") }
        }

        /// `text` (sign included) filled up to the width.
        func padded(_ text: TracedString, isNumber: Bool) -> TracedString {
            let missing = width - text.count
            if missing <= 0 { return text }
            let alignment = alignment ?? (isNumber ? ">" : "<")
            let before: Int
            var split = 0
            switch alignment {
            case ">": before = missing
            case "^": before = missing / 2
            case "=":
                before = missing
                if let first = text.scalars.first, "+- ".unicodeScalars.contains(first) { split = 1 }
                if alternate, text.count > split + 1, text.scalars[split] == "0",
                    Jinja.isASCIILetter(text.scalars[split + 1])
                {
                    split += 2
                }
            default: before = 0
            }
            var result = text.slice(0..<split)
            for _ in 0..<before { result.append(fill) }
            result.append(text.slice(split..<text.count))
            for _ in 0..<missing - before { result.append(fill) }
            return result
        }

        private func signed(_ isNegative: Bool) -> String {
            isNegative ? "-" : sign == "-" ? "" : String(sign)
        }

        private func grouped(_ digits: String, by size: Int) -> String {
            guard let grouping else { return digits }
            var result = ""
            for (index, digit) in digits.enumerated() {
                if index > 0, (digits.count - index) % size == 0 { result.unicodeScalars.append(grouping) }
                result.append(digit)
            }
            return result
        }

        func format(_ number: Int) throws -> TracedString {
            let isNegative = number < 0
            let text: String
            switch type {
            case nil, "d", "n", "i", "u":
                var digits = String(number.magnitude)
                if let precision { digits = String(repeating: "0", count: max(0, precision - digits.count)) + digits }
                text = grouped(digits, by: 3)
            case "b": text = (alternate ? "0b" : "") + grouped(String(number.magnitude, radix: 2), by: 4)
            case "o": text = (alternate ? "0o" : "") + grouped(String(number.magnitude, radix: 8), by: 4)
            case "x": text = (alternate ? "0x" : "") + grouped(String(number.magnitude, radix: 16), by: 4)
            case "X":
                text = (alternate ? "0X" : "") + grouped(String(number.magnitude, radix: 16, uppercase: true), by: 4)
            case "e", "E", "f", "F", "g", "G", "%": return try format(Double(number))
            default: throw Self.unknown(type, "int")
            }
            return padded(TracedString(signed(isNegative) + text), isNumber: true)
        }

        static func unknown(_ type: Unicode.Scalar?, _ name: String) -> Fault {
            .value("unknown format code '\(type.map(String.init) ?? "")' for object of type '\(name)'")
        }

        func format(_ number: Double) throws -> TracedString {
            let magnitude = number.magnitude
            var text: String
            if !number.isFinite {
                text = number.isNaN ? "nan" : "inf"
                if type == "F" || type == "E" || type == "G" { text = text.uppercased() }
                if type == "%" { text += "%" }
            } else {
                let digits = precision ?? 6
                switch type {
                case nil, "n":
                    text = precision == nil ? Jinja.pythonText(magnitude) : Self.print("%.*g", digits, magnitude)
                    if precision != nil, !text.contains("."), !text.contains("e") { text += ".0" }
                case "e", "E", "f", "F", "g", "G":
                    text = Self.print("%\(alternate ? "#" : "").*\(type.map(String.init) ?? "f")", digits, magnitude)
                case "%": text = Self.print("%.*f", digits, magnitude * 100) + "%"
                default: throw Self.unknown(type, "float")
                }
            }
            if grouping != nil, number.isFinite {
                let whole = text.prefix { $0.isNumber }
                text = grouped(String(whole), by: 3) + text.dropFirst(whole.count)
            }
            let isNegative = number.sign == .minus && !number.isNaN
            return padded(TracedString(signed(isNegative) + text), isNumber: true)
        }

        static func print(_ format: String, _ precision: Int, _ number: Double) -> String {
            String(format: format, locale: nil, min(precision, 1000), number)
        }

        func format(_ text: TracedString) throws -> TracedString {
            guard type == nil || type == "s" else { throw Self.unknown(type, "str") }
            if alignment == "=" { throw Fault.value("'=' alignment not allowed in string format specifier") }
            let cut = precision.map { text.slice(0..<min($0, text.count)) } ?? text
            return padded(cut, isNumber: false)
        }
    }
}
