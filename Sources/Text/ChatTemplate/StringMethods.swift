extension Jinja {
    /// Python's methods of `str`.
    enum StringMethods {
        typealias Method = @Sendable (TracedString, Arguments, Renderer) throws -> Value

        static let table: [String: Method] = {
            var table = editing
            table.merge(asking) { one, _ in one }
            return table
        }()

        /// The methods that take no arguments.
        static let plain: Set = [
            "upper", "lower", "casefold", "title", "capitalize", "swapcase", "isalpha", "isdigit", "isdecimal",
            "isnumeric", "isalnum", "isspace", "isascii", "isprintable", "isidentifier", "isupper", "islower",
            "istitle",
        ]

        private static let editing: [String: Method] = [
            "strip": { text, arguments, _ in try strip("strip", .both, text, arguments) },
            "lstrip": { text, arguments, _ in try strip("lstrip", .left, text, arguments) },
            "rstrip": { text, arguments, _ in try strip("rstrip", .right, text, arguments) },
            "upper": { text, _, renderer in try renderer.text(text.uppercased()) },
            "lower": { text, _, renderer in try renderer.text(text.lowercased()) },
            "casefold": { text, _, renderer in try renderer.text(text.caseFolded()) },
            "title": { text, _, renderer in try renderer.text(text.titlecased()) },
            "capitalize": { text, _, renderer in try renderer.text(text.capitalized()) },
            "swapcase": { text, _, renderer in
                try renderer.text(
                    text.mapScalars { _, scalar in
                        scalar.properties.isUppercase
                            ? scalar.properties.lowercaseMapping : scalar.properties.uppercaseMapping
                    })
            },
            "split": { text, arguments, renderer in
                let bound = try arguments.bind("split", ["sep", "maxsplit"])
                let limit = try bound.whole(1, default: -1)
                guard let separator = try bound.optionalText(0) else {
                    return try list(text.splitAtSpace(limit: limit), of: text, renderer)
                }
                if separator.isEmpty { throw Fault.value("empty separator") }
                return try list(text.split(at: separator, limit: limit), of: text, renderer)
            },
            "rsplit": { text, arguments, renderer in
                let bound = try arguments.bind("rsplit", ["sep", "maxsplit"])
                let limit = try bound.whole(1, default: -1)
                guard let separator = try bound.optionalText(0) else {
                    return try list(text.splitAtSpaceFromRight(limit: limit), of: text, renderer)
                }
                if separator.isEmpty { throw Fault.value("empty separator") }
                return try list(text.splitFromRight(at: separator, limit: limit), of: text, renderer)
            },
            "splitlines": { text, arguments, renderer in
                let bound = try arguments.bind("splitlines", ["keepends"])
                return try list(text.splitLines(keepEnds: bound.flag(0)), of: text, renderer)
            },
            "partition": { try partition("partition", $0, $1, $2) { $0.firstIndex(of: $1) } },
            "rpartition": { try partition("rpartition", $0, $1, $2) { $0.lastIndex(of: $1) } },
            "replace": { text, arguments, renderer in
                let bound = try arguments.bind("replace", ["old", "new", "count"], required: 2)
                return try replace(
                    text, try bound.text(0), try bound.text(1), try bound.whole(2, default: -1), renderer)
            },
            "removeprefix": { text, arguments, _ in
                let prefix = try arguments.bind("removeprefix", ["prefix"], required: 1).text(0)
                return .string(text.hasPrefix(prefix) ? text.slice(prefix.count..<text.count) : text)
            },
            "removesuffix": { text, arguments, _ in
                let suffix = try arguments.bind("removesuffix", ["suffix"], required: 1).text(0)
                return .string(text.hasSuffix(suffix) ? text.slice(0..<text.count - suffix.count) : text)
            },
            "join": { text, arguments, renderer in
                let parts = try renderer.elements(try arguments.bind("join", ["iterable"], required: 1).value(0))
                return try join(
                    try parts.map { part in
                        guard case .string(let text) = part else {
                            throw Fault.type("sequence item: expected str instance, \(part.typeName) found")
                        }
                        return text
                    }, text, renderer)
            },
            "format": { text, arguments, renderer in .string(try renderer.braceFormat(text, arguments)) },
            "center": { try pad("center", "^", $0, $1, $2) },
            "ljust": { try pad("ljust", "<", $0, $1, $2) },
            "rjust": { try pad("rjust", ">", $0, $1, $2) },
            "zfill": { text, arguments, renderer in
                var specification = FormatSpecification()
                specification.width = try width(try arguments.bind("zfill", ["width"], required: 1), renderer)
                specification.fill = TracedString("0")
                specification.alignment = "="
                return .string(specification.padded(text, isNumber: true))
            },
            "expandtabs": { text, arguments, renderer in
                let size = try arguments.bind("expandtabs", ["tabsize"]).whole(0, default: 8)
                if size > FormatSpecification.largest { throw Fault.limit("too wide a tab") }
                let tabs = text.scalars.reduce(0) { $0 + ($1 == "\t" ? 1 : 0) }
                try renderer.allocate(tabs, times: max(0, size))
                var column = 0
                return .string(
                    text.mapScalars { _, scalar in
                        if scalar == "\n" || scalar == "\r" { column = 0 } else { column += 1 }
                        guard scalar == "\t" else { return nil }
                        let blanks = size > 0 ? size - (column - 1) % size : 0
                        column += blanks - 1
                        return String(repeating: " ", count: blanks)
                    })
            },
        ]

        private static let asking: [String: Method] = [
            "startswith": { text, arguments, renderer in
                try edge("startswith", text, arguments, renderer) { $0.hasPrefix($1) }
            },
            "endswith": { text, arguments, renderer in
                try edge("endswith", text, arguments, renderer) { $0.hasSuffix($1) }
            },
            "find": { .int(try search("find", $0, $1, $2) { $0.firstIndex(of: $1, in: $2) } ?? -1) },
            "rfind": { .int(try search("rfind", $0, $1, $2) { $0.lastIndex(of: $1, in: $2) } ?? -1) },
            "index": { .int(try found(try search("index", $0, $1, $2) { $0.firstIndex(of: $1, in: $2) })) },
            "rindex": { .int(try found(try search("rindex", $0, $1, $2) { $0.lastIndex(of: $1, in: $2) })) },
            "count": { text, arguments, renderer in
                .int(
                    try search("count", text, arguments, renderer) { text, part, range in
                        part.isEmpty ? range.count + 1 : text.occurrences(of: part, in: range).count
                    } ?? 0)
            },
            "isalpha": { text, _, _ in .bool(text.all(\.properties.isLetter)) },
            "isdigit": { text, _, _ in .bool(text.all(\.properties.isDigit)) },
            "isdecimal": { text, _, _ in .bool(text.all { $0.properties.numericType == .decimal }) },
            "isnumeric": { text, _, _ in .bool(text.all { $0.properties.numericType != nil }) },
            "isalnum": { text, _, _ in .bool(text.all { $0.properties.isLetter || $0.properties.numericType != nil }) },
            "isspace": { text, _, _ in .bool(text.all(Jinja.isSpace)) },
            "isascii": { text, _, _ in .bool(text.scalars.allSatisfy(\.isASCII)) },
            "isprintable": { text, _, _ in .bool(text.scalars.allSatisfy(Jinja.isPrintable)) },
            "isidentifier": { text, _, _ in
                .bool(
                    text.scalars.first.map(Jinja.isNameStart) ?? false && text.scalars.allSatisfy(Jinja.isNamePart))
            },
            "isupper": { text, _, _ in .bool(text.isUpper) },
            "islower": { text, _, _ in .bool(text.isLower) },
            "istitle": { text, _, _ in .bool(text.isTitle) },
        ]

        // MARK: - parts

        private static func strip(
            _ name: String, _ side: TracedString.Side, _ text: TracedString, _ arguments: Arguments
        ) throws -> Value {
            let characters = try arguments.bind(name, ["chars"]).optionalText(0)
            return .string(text.strip(side, characters: characters))
        }

        private static func list(_ parts: [TracedString], of text: TracedString, _ renderer: Renderer) throws -> Value {
            try renderer.allocate(text.count)
            return try renderer.list(parts.map { .string($0) })
        }

        private static func partition(
            _ name: String, _ text: TracedString, _ arguments: Arguments, _ renderer: Renderer,
            _ find: (TracedString, TracedString) -> Int?
        ) throws -> Value {
            let separator = try arguments.bind(name, ["sep"], required: 1).text(0)
            if separator.isEmpty { throw Fault.value("empty separator") }
            try renderer.allocate(text.count)
            guard let index = find(text, separator) else {
                let nothing = Value.string("")
                return try .tuple(
                    name == "partition" ? [.string(text), nothing, nothing] : [nothing, nothing, .string(text)])
            }
            return try .tuple([
                .string(text.slice(0..<index)), .string(text.slice(index..<index + separator.count)),
                .string(text.slice(index + separator.count..<text.count)),
            ])
        }

        static func replace(
            _ text: TracedString, _ old: TracedString, _ new: TracedString, _ limit: Int, _ renderer: Renderer
        ) throws -> Value {
            try renderer.work(text.count / 8)
            let places = text.replacementPlaces(of: old, limit: limit)
            try renderer.allocate(text.count)
            try renderer.allocate(places.count, times: new.count)
            return .string(text.replacing(old, at: places, with: new))
        }

        static func join(_ parts: [TracedString], _ separator: TracedString, _ renderer: Renderer) throws -> Value {
            try renderer.allocate(max(0, parts.count - 1), times: separator.count)
            var result = TracedString()
            for (index, part) in parts.enumerated() {
                try renderer.allocate(part.count)
                if index > 0 { result.append(separator) }
                result.append(part)
            }
            return .string(result)
        }

        private static func width(_ bound: Bound, _ renderer: Renderer) throws -> Int {
            let width = try bound.whole(0, default: 0)
            if width > FormatSpecification.largest { throw Fault.limit("too wide a field") }
            try renderer.allocate(max(0, width))
            return max(0, width)
        }

        private static func pad(
            _ name: String, _ alignment: Unicode.Scalar, _ text: TracedString, _ arguments: Arguments,
            _ renderer: Renderer
        ) throws -> Value {
            let bound = try arguments.bind(name, ["width", "fillchar"], required: 1)
            let fill = try bound.optionalText(1) ?? TracedString(" ")
            if fill.count != 1 { throw Fault.type("the fill character must be exactly one character long") }
            let width = try width(bound, renderer)
            if alignment == "^" { return .string(text.centered(width, fill)) }
            var specification = FormatSpecification()
            specification.width = width
            specification.fill = fill
            specification.alignment = alignment
            return .string(specification.padded(text, isNumber: false))
        }

        /// The part of `text` that Python's optional `start` and `end` mean; `nil` when they cross.
        private static func window(_ text: TracedString, _ bound: Bound) throws -> Range<Int>? {
            func place(_ index: Int?, _ fallback: Int) -> Int {
                guard let index else { return fallback }
                return index < 0 ? max(0, index.addingReportingOverflow(text.count).partialValue) : index
            }
            let start = place(try bound.optionalWhole(1), 0)
            let end = min(text.count, place(try bound.optionalWhole(2), text.count))
            return start <= end ? start..<end : nil
        }

        private static func edge(
            _ name: String, _ text: TracedString, _ arguments: Arguments, _ renderer: Renderer,
            _ matches: (TracedString, TracedString) -> Bool
        ) throws -> Value {
            let bound = try arguments.bind(name, ["prefix", "start", "end"], required: 1)
            guard let range = try window(text, bound) else { return .bool(false) }
            let text = text.slice(range)
            if case .tuple(let items) = try bound.value(0) {
                for item in items.elements {
                    guard case .string(let part) = item else {
                        throw Fault.type("tuple for \(name) must only contain str")
                    }
                    if matches(text, part) { return .bool(true) }
                }
                return .bool(false)
            }
            return .bool(matches(text, try bound.text(0)))
        }

        private static func search(
            _ name: String, _ text: TracedString, _ arguments: Arguments, _ renderer: Renderer,
            _ find: (TracedString, TracedString, Range<Int>) -> Int?
        ) throws -> Int? {
            let bound = try arguments.bind(name, ["sub", "start", "end"], required: 1)
            let part = try bound.text(0)
            try renderer.work(text.count / 8)
            guard let range = try window(text, bound) else { return nil }
            return find(text, part, range)
        }

        private static func found(_ index: Int?) throws -> Int {
            guard let index else { throw Fault.value("substring not found") }
            return index
        }
    }
}
