import Foundation

extension Jinja {
    /// What may stand behind `|`: jinja2's filters, with transformers' `tojson`.
    enum Filters {
        typealias Filter = @Sendable (Value, Arguments, Renderer) throws -> Value

        static let table: [String: Filter] = {
            var table = text
            for more in [number, sequence, selection] { table.merge(more) { one, _ in one } }
            return table
        }()

        /// The filters that take no arguments.
        static let plain: Set = [
            "string", "upper", "lower", "capitalize", "title", "wordcount", "escape", "e", "forceescape", "safe",
            "urlencode", "striptags", "abs", "length", "count", "list", "first", "last", "reverse", "items",
        ]

        // MARK: - text

        private static let text: [String: Filter] = [
            "string": { value, _, renderer in .string(try renderer.string(value)) },
            "trim": { value, arguments, renderer in
                let characters = try arguments.bind("trim", ["chars"]).optionalText(0)
                return .string(try renderer.string(value).strip(.both, characters: characters))
            },
            "upper": { value, _, renderer in try renderer.text(try renderer.string(value).uppercased()) },
            "lower": { value, _, renderer in try renderer.text(try renderer.string(value).lowercased()) },
            "capitalize": { value, _, renderer in try renderer.text(try renderer.string(value).capitalized()) },
            "title": { value, _, renderer in try renderer.text(try renderer.string(value).titleFiltered()) },
            "replace": { value, arguments, renderer in
                let bound = try arguments.bind("replace", ["old", "new", "count"], required: 2)
                return try StringMethods.replace(
                    try renderer.string(value), try renderer.string(bound.value(0)),
                    try renderer.string(bound.value(1)), try bound.optionalWhole(2) ?? -1, renderer)
            },
            "indent": { value, arguments, renderer in try indent(value, arguments, renderer) },
            "truncate": { value, arguments, renderer in
                let bound = try arguments.bind("truncate", ["length", "killwords", "end", "leeway"])
                let length = try bound.whole(0, default: 255)
                guard case .string(let text) = value else {
                    // What is short enough passes whatever it is.
                    if try renderer.length(value) <= length { return value }
                    throw Fault.type("truncate wants str, not \(value.typeName)")
                }
                let end = try bound.optionalText(2) ?? TracedString("...")
                let leeway = try bound.optionalWhole(3) ?? 5
                guard length >= end.count, leeway >= 0 else { throw Fault.value("truncate to less than nothing") }
                let (most, overflow) = length.addingReportingOverflow(leeway)
                if overflow || text.count <= most { return .string(text) }
                var result = text.slice(0..<length - end.count)
                if !bound.flag(1), let blank = result.lastIndex(of: TracedString(" ")) {
                    result = result.slice(0..<blank)
                }
                result.append(end)
                return try renderer.text(result)
            },
            "center": { value, arguments, renderer in
                let width = try arguments.bind("center", ["width"]).whole(0, default: 80)
                if width > FormatSpecification.largest { throw Fault.limit("too wide a field") }
                return try renderer.text(try renderer.string(value).centered(width, TracedString(" ")))
            },
            "wordcount": { value, _, renderer in
                var count = 0
                var isInside = false
                for scalar in try renderer.string(value).scalars {
                    let isWord = scalar.properties.isLetter || scalar.properties.numericType != nil || scalar == "_"
                    if isWord, !isInside { count += 1 }
                    isInside = isWord
                }
                return .int(count)
            },
            "format": { value, arguments, renderer in
                if !arguments.named.isEmpty {
                    if !arguments.positional.isEmpty {
                        throw Fault.type("can't handle positional and keyword arguments at the same time")
                    }
                    let mapping = try Mapping(arguments.named.map { (.string($0.name), $0.value) })
                    return .string(try renderer.percentFormat(try renderer.string(value), .dictionary(mapping)))
                }
                return .string(
                    try renderer.percentFormat(try renderer.string(value), try .tuple(arguments.positional)))
            },
            "escape": escape, "e": escape,
            "forceescape": { value, _, renderer in .string(renderer.escaped(try renderer.string(value).plain)) },
            "safe": { value, _, renderer in
                var text = try renderer.string(value)
                text.isMarkup = true
                return .string(text)
            },
            "tojson": { value, arguments, renderer in
                let bound = try arguments.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
                return .string(try renderer.json(value, try writer(bound, renderer)))
            },
            "urlencode": { value, _, renderer in try urlEncode(value, renderer) },
            "striptags": { value, _, renderer in try stripTags(try renderer.string(value), renderer) },
            "xmlattr": { value, arguments, renderer in
                let bound = try arguments.bind("xmlattr", ["autospace"])
                guard case .dictionary(let mapping) = value else { throw Fault.type("xmlattr wants a dict") }
                var result = TracedString()
                for (key, value) in mapping.pairs where !value.isNone && !value.isUndefined {
                    let name = try renderer.string(key)
                    if name.scalars.contains(where: { isSpace($0) || "/>=".unicodeScalars.contains($0) }) {
                        throw Fault.value("invalid character in attribute name")
                    }
                    if !result.isEmpty || bound.flag(0, default: true) { result.append(" ") }
                    result.append(renderer.escaped(name))
                    result.append("=\"")
                    result.append(renderer.escaped(try renderer.string(value)))
                    result.append("\"")
                    try renderer.allocate(result.count)
                }
                return .string(result)
            },
        ]

        private static let escape: Filter = { value, _, renderer in
            try renderer.text(renderer.escaped(try renderer.string(value)))
        }

        private static func writer(_ bound: Bound, _ renderer: Renderer) throws -> Renderer.JSONWriter {
            var writer = Renderer.JSONWriter()
            writer.ensureASCII = bound.flag(0)
            writer.sortsKeys = bound.flag(3)
            if case .string(let text)? = bound[1] {
                writer.indent = text
            } else if let width = try bound.optionalWhole(1) {
                if width > 1000 { throw Fault.limit("too wide an indent") }
                writer.indent = TracedString(String(repeating: " ", count: max(0, width)))
            }
            if writer.indent != nil { writer.itemSeparator = TracedString(",") }
            if let separators = bound[2], !separators.isNone {
                let parts = try renderer.elements(separators)
                guard parts.count == 2, case .string(let item) = parts[0], case .string(let key) = parts[1] else {
                    throw Fault.type("separators must be two strings")
                }
                writer.itemSeparator = item
                writer.keySeparator = key
            }
            return writer
        }

        private static func indent(_ value: Value, _ arguments: Arguments, _ renderer: Renderer) throws -> Value {
            let bound = try arguments.bind("indent", ["width", "first", "blank"])
            let blanks: TracedString
            if case .string(let text)? = bound[0] {
                blanks = text
            } else {
                let width = try bound.whole(0, default: 4)
                if width > FormatSpecification.largest { throw Fault.limit("too wide an indent") }
                blanks = TracedString(String(repeating: " ", count: max(0, width)))
            }
            guard case .string(var text) = value else { throw Fault.type("indent wants str, not \(value.typeName)") }
            text.append("\n")
            let lines = text.splitLines()
            try renderer.allocate(lines.count, times: blanks.count + 1)
            try renderer.allocate(text.count)
            var result = bound.flag(1) ? blanks : TracedString()
            for (index, line) in lines.enumerated() {
                if index > 0 {
                    result.append("\n")
                    if bound.flag(2) || !line.isEmpty { result.append(blanks) }
                }
                result.append(line)
            }
            return .string(result)
        }

        private static func urlEncode(_ value: Value, _ renderer: Renderer) throws -> Value {
            func quote(_ value: Value, isPart: Bool) throws -> TracedString {
                let text = try renderer.string(value)
                try renderer.allocate(text.count, times: 12)
                return text.mapScalars { _, scalar in
                    if isASCIILetter(scalar) || isASCIIDigit(scalar) || "-._~".unicodeScalars.contains(scalar) {
                        return nil
                    }
                    if scalar == "/", !isPart { return nil }
                    if scalar == " ", isPart { return "+" }
                    return String(scalar).utf8.map {
                        let digits = String($0, radix: 16, uppercase: true)
                        return "%" + (digits.count < 2 ? "0" : "") + digits
                    }.joined()
                }
            }
            let pairs: [[Value]]
            switch value {
            case .dictionary(let mapping): pairs = mapping.pairs.map { [$0, $1] }
            case .list, .tuple, .generator, .view, .range:
                pairs = try renderer.elements(value).map { try renderer.elements($0) }
            default: return .string(try quote(value, isPart: false))
            }
            let parts = try pairs.map { pair in
                guard pair.count == 2 else { throw Fault.value("urlencode wants pairs") }
                var result = try quote(pair[0], isPart: true)
                result.append("=")
                result.append(try quote(pair[1], isPart: true))
                return result
            }
            return try StringMethods.join(parts, TracedString("&"), renderer)
        }

        private static func stripTags(_ text: TracedString, _ renderer: Renderer) throws -> Value {
            try renderer.allocate(text.count, times: 2)
            var kept = TracedString()
            var index = 0
            let comment = (open: TracedString("<!--"), close: TracedString("-->"))
            while index < text.count {
                if text.scalars[index] == "<" {
                    let isComment = text.matches(comment.open, at: index)
                    let close = isComment ? comment.close : TracedString(">")
                    guard let end = text.firstIndex(of: close, in: index..<text.count) else {
                        kept.append(text.slice(index..<text.count))
                        break
                    }
                    index = end + close.count
                } else {
                    kept.append(text.scalars[index], text.origin(at: index))
                    index += 1
                }
            }
            var result = TracedString()
            for (place, word) in kept.splitAtSpace(limit: -1).enumerated() {
                if place > 0 { result.append(" ") }
                result.append(word)
            }
            for (name, character) in [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
                let name = TracedString(name)
                let places = result.replacementPlaces(of: name, limit: -1)
                // What stood for a character keeps the origin of what stood there.
                result = result.replacing(
                    name, at: places, with: TracedString(Array(character.unicodeScalars), result.jointOrigin))
            }
            return .string(result)
        }
    }
}
