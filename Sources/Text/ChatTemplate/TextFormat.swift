extension Jinja.Renderer {
    // MARK: - "..." % values

    /// Python's `format % values`.
    func percentFormat(_ format: TracedString, _ values: Value) throws -> TracedString {
        var result = TracedString()
        var arguments: [Value] = [values]
        if case .tuple(let items) = values { arguments = items.elements }
        var used = 0
        // Whatever can be indexed counts as a mapping, of which not every item need be used.
        let isMapping =
            switch values {
            case .dictionary, .list, .range, .undefined: true
            default: false
            }
        var index = 0
        func next() throws -> Value {
            guard used < arguments.count else { throw Fault.type("not enough arguments for format string") }
            defer { used += 1 }
            return arguments[used]
        }
        func scalar() throws -> Unicode.Scalar {
            guard index < format.count else { throw Fault.value("incomplete format") }
            return format.scalars[index]
        }
        while index < format.count {
            let start = index
            while index < format.count, format.scalars[index] != "%" { index += 1 }
            result.append(format.slice(start..<index))
            if index == format.count { break }
            index += 1
            var value: Value?
            if try scalar() == "(" {
                guard case .dictionary(let mapping) = values else { throw Fault.type("format requires a mapping") }
                let open = index + 1
                while try scalar() != ")" { index += 1 }
                value = mapping[format.slice(open..<index)]
                if value == nil { throw Fault.value("no value for '\(format.slice(open..<index).string)'") }
                index += 1
            }
            var specification = Jinja.FormatSpecification()
            specification.alignment = ">"
            var isLeft = false
            flags: while true {
                switch try scalar() {
                case "-": isLeft = true
                case "+": specification.sign = "+"
                case " ": if specification.sign != "+" { specification.sign = " " }
                case "#": specification.alternate = true
                case "0":
                    specification.fill = TracedString("0")
                    specification.alignment = "="
                default: break flags
                }
                index += 1
            }
            func number() throws -> Int {
                if try scalar() == "*" {
                    index += 1
                    guard let width = try next().wholeNumber else { throw Fault.type("* wants int") }
                    if width < 0 { isLeft = true }
                    if width.magnitude > UInt(Jinja.FormatSpecification.largest) {
                        throw Fault.limit("too wide a format")
                    }
                    return Int(width.magnitude)
                }
                var result = 0
                while let digit = Character(try scalar()).wholeNumberValue, try scalar().isASCII {
                    result = result * 10 + digit
                    if result > Jinja.FormatSpecification.largest { throw Fault.limit("too wide a format") }
                    index += 1
                }
                return result
            }
            specification.width = try number()
            if try scalar() == "." {
                index += 1
                specification.precision = try number()
            }
            while ["h", "l", "L"].contains(try scalar()) { index += 1 }
            let type = try scalar()
            index += 1
            if type == "%" {
                result.append("%")
                continue
            }
            if isLeft {
                specification.alignment = "<"
                specification.fill = TracedString(" ")
            }
            let piece = try formatted(try value ?? next(), type, &specification)
            try allocate(piece.count)
            result.append(piece)
        }
        if used < arguments.count, !isMapping {
            throw Fault.type("not all arguments converted during string formatting")
        }
        return result
    }

    private func formatted(
        _ value: Value, _ type: Unicode.Scalar, _ specification: inout Jinja.FormatSpecification
    ) throws -> TracedString {
        try allocate(specification.width + (specification.precision ?? 0))
        specification.type = type
        switch type {
        case "s", "r", "a":
            specification.type = nil
            if specification.alignment == "=" {
                specification.alignment = ">"
                specification.fill = TracedString(" ")
            }
            return try specification.format(type == "s" ? try string(value) : try representation(value))
        case "d", "i", "u", "o", "x", "X":
            if case .undefined(let undefined) = value { throw undefined.fault }
            if let number = value.wholeNumber { return try specification.format(number) }
            guard case .double(let number) = value, "diu".unicodeScalars.contains(type) else {
                throw Fault.type("%\(type) format: a number is required, not \(value.typeName)")
            }
            guard let whole = Int(exactly: number.rounded(.towardZero)) else { throw Self.tooLarge }
            return try specification.format(whole)
        case "e", "E", "f", "F", "g", "G":
            guard let number = value.number else {
                throw Fault.type("must be real number, not \(value.typeName)")
            }
            return try specification.format(number)
        case "c":
            specification.type = nil
            guard case .string(let text) = value, text.count == 1 else { throw Fault.type("%c requires char") }
            return try specification.format(text)
        default: throw Fault.value("unsupported format character '\(type)'")
        }
    }

    // MARK: - "...".format(...)

    /// Python's `format.format(...)`, within what jinja2's sandbox allows.
    func braceFormat(_ format: TracedString, _ arguments: Arguments) throws -> TracedString {
        var state = BraceState(arguments: arguments)
        return try braceFormat(format, &state, level: 2)
    }

    private struct BraceState {
        var arguments: Arguments
        var automatic = 0
        var isManual = false
    }

    private func braceFormat(_ format: TracedString, _ state: inout BraceState, level: Int) throws -> TracedString {
        if level == 0 { throw Fault.value("max string recursion exceeded") }
        var result = TracedString()
        let scalars = format.scalars
        var index = 0
        while index < scalars.count {
            let start = index
            while index < scalars.count, scalars[index] != "{", scalars[index] != "}" { index += 1 }
            result.append(format.slice(start..<index))
            guard index < scalars.count else { break }
            if index + 1 < scalars.count, scalars[index + 1] == scalars[index] {
                result.append(format.slice(index..<index + 1))
                index += 2
                continue
            }
            guard scalars[index] == "{" else { throw Fault.value("single '}' encountered in format string") }
            index += 1
            let open = index
            var nesting = 1
            while index < scalars.count {
                if scalars[index] == "{" { nesting += 1 }
                if scalars[index] == "}" { nesting -= 1 }
                if nesting == 0 { break }
                index += 1
            }
            guard nesting == 0 else { throw Fault.value("expected '}' before end of string") }
            let piece = try field(format.slice(open..<index), &state, level: level)
            try allocate(piece.count)
            result.append(piece)
            index += 1
        }
        return result
    }

    private func field(_ field: TracedString, _ state: inout BraceState, level: Int) throws -> TracedString {
        var end = 0
        var bracket = false
        while end < field.count {
            let scalar = field.scalars[end]
            if scalar == "[" { bracket = true } else if scalar == "]" { bracket = false }
            if !bracket, scalar == "!" || scalar == ":" { break }
            end += 1
        }
        var value = try fieldValue(field.slice(0..<end), &state)
        if end < field.count, field.scalars[end] == "!" {
            guard end + 1 < field.count else { throw Fault.value("missing conversion") }
            switch field.scalars[end + 1] {
            case "s": value = .string(try string(value))
            case "r", "a": value = .string(try representation(value))
            default: throw Fault.value("unknown conversion specifier '\(field.scalars[end + 1])'")
            }
            end += 2
            if end < field.count, field.scalars[end] != ":" { throw Fault.value("expected ':' after conversion") }
        }
        var text = TracedString()
        if end < field.count {
            text = try braceFormat(field.slice(end + 1..<field.count), &state, level: level - 1)
        }
        if text.isEmpty { return try string(value) }
        let specification = try Jinja.FormatSpecification(text)
        try allocate(specification.width + (specification.precision ?? 0))
        switch value {
        case .int(let number): return try specification.format(number)
        case .bool(let flag):
            if specification.type == nil { return try specification.format(TracedString(flag ? "True" : "False")) }
            return try specification.format(flag ? 1 : 0)
        case .double(let number): return try specification.format(number)
        case .string(let text): return try specification.format(text)
        default: throw Fault.type("unsupported format string passed to \(value.typeName).__format__")
        }
    }

    private func fieldValue(_ name: TracedString, _ state: inout BraceState) throws -> Value {
        let scalars = name.scalars
        var index = 0
        while index < scalars.count, scalars[index] != ".", scalars[index] != "[" { index += 1 }
        let first = name.slice(0..<index).string
        var value: Value
        if first.isEmpty || first.allSatisfy(\.isNumber) {
            let place: Int
            if first.isEmpty {
                if state.isManual { throw Fault.value("cannot switch from manual to automatic field numbering") }
                place = state.automatic
                state.automatic += 1
            } else {
                if state.automatic > 0 { throw Fault.value("cannot switch from automatic to manual field numbering") }
                state.isManual = true
                place = Int(first) ?? .max
            }
            guard place < state.arguments.positional.count else {
                throw Fault.value("replacement index \(first) out of range for positional args tuple")
            }
            value = state.arguments.positional[place]
        } else {
            guard let found = state.arguments.named.first(where: { $0.name == first }) else {
                throw Fault.value("no value for '\(first)'")
            }
            value = found.value
        }
        while index < scalars.count {
            let isAttribute = scalars[index] == "."
            let start = index + 1
            index = start
            while index < scalars.count,
                isAttribute ? scalars[index] != "." && scalars[index] != "[" : scalars[index] != "]"
            {
                index += 1
            }
            let part = name.slice(start..<index)
            if isAttribute {
                value = try attribute(part.string, part, of: value)
            } else {
                value = try item(Int(part.string).map { .int($0) } ?? .string(part), of: value)
                index += 1
            }
        }
        return value
    }
}
