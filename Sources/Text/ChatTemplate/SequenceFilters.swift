extension Jinja.Filters {
    static let sequence: [String: Filter] = [
        "default": fallback, "d": fallback,
        "length": { value, _, renderer in .int(try renderer.length(value)) },
        "count": { value, _, renderer in .int(try renderer.length(value)) },
        "list": { value, _, renderer in try renderer.list(try renderer.elements(value)) },
        "first": { value, _, renderer in
            try renderer.iterator(value)() ?? .undefined("no first item, the sequence was empty")
        },
        "last": { value, _, renderer in
            if case .generator = value { throw Fault.type("'generator' object is not reversible") }
            return try renderer.elements(value).last ?? .undefined("no last item, the sequence was empty")
        },
        "reverse": { value, _, renderer in
            if case .string(let text) = value {
                return try renderer.text(text.gather(stride(from: text.count - 1, through: 0, by: -1)))
            }
            return try generated(
                "list_reverseiterator", Array(try renderer.elements(value).reversed()), value, renderer)
        },
        "join": { value, arguments, renderer in
            let bound = try arguments.bind("join", ["d", "attribute"])
            let separator = try bound[0].map { try renderer.string($0) } ?? TracedString()
            let get = try renderer.getter(bound[1])
            let parts = try renderer.elements(value).map { try renderer.string(try get($0)) }
            return try StringMethods.join(parts, separator, renderer)
        },
        "items": { value, _, renderer in
            switch value {
            case .undefined: return try generated("do_items", [], value, renderer)
            case .dictionary(let mapping):
                let view = Jinja.MappingView(kind: .items, mapping: mapping)
                return try generated("do_items", try renderer.elements(.view(view)), value, renderer)
            default: throw Fault.type("Can only get item pairs from a mapping.")
            }
        },
        "attr": { value, arguments, renderer in
            let name = try arguments.bind("attr", ["name"], required: 1).text(0)
            if case .dictionary(let mapping) = value {
                // Attributes only: the items of a dictionary are not meant here.
                return try Jinja.member(name.string, of: value, renderer)
                    ?? .undefined("'dict object' with \(mapping.count) items has no attribute '\(name.string)'")
            }
            return try renderer.attribute(name.string, name, of: value)
        },
        "batch": { value, arguments, renderer in
            let bound = try arguments.bind("batch", ["linecount", "fill_with"], required: 1)
            let width = try bound.whole(0, default: 1)
            var lines: [Value] = []
            var line: [Value] = []
            for element in try renderer.elements(value) {
                if line.count == width {
                    lines.append(try renderer.list(line))
                    line = []
                }
                line.append(element)
            }
            if !line.isEmpty {
                if let fill = bound[1], !fill.isNone, line.count < width {
                    try renderer.allocate(width - line.count, times: 8)
                    line += Array(repeating: fill, count: width - line.count)
                }
                lines.append(try renderer.list(line))
            }
            return try generated("do_batch", lines, value, renderer)
        },
        "slice": { value, arguments, renderer in
            let bound = try arguments.bind("slice", ["slices", "fill_with"], required: 1)
            let count = try bound.whole(0, default: 1)
            let elements = try renderer.elements(value)
            if count == 0 { throw Fault.value("division by zero") }
            if count < 0 { return try generated("do_slice", [], value, renderer) }
            try renderer.allocate(count, times: 8)
            var offset = 0
            let lines = try (0..<count).map { number in
                let (size, extra) = elements.count.quotientAndRemainder(dividingBy: count)
                let start = offset + number * size
                if number < extra { offset += 1 }
                var line = Array(elements[start..<offset + (number + 1) * size])
                if let fill = bound[1], !fill.isNone, number >= extra { line.append(fill) }
                return try renderer.list(line)
            }
            return try generated("do_slice", lines, value, renderer)
        },
    ]

    typealias StringMethods = Jinja.StringMethods

    private static let fallback: Filter = { value, arguments, _ in
        let bound = try arguments.bind("default", ["default_value", "boolean"])
        let isMissing = value.isUndefined || bound.flag(1) && !value.isTrue
        return isMissing ? bound[0] ?? .string("") : value
    }

    /// A generator over elements that are there already.
    static func generated(
        _ name: String, _ elements: [Value], _ source: Value, _ renderer: Renderer
    ) throws -> Value {
        try renderer.allocate(elements.count, times: 8)
        var index = 0
        let depth = elements.reduce(source.depth) { max($0, $1.depth) }
        return .generator(
            try Jinja.Generator(name, over: depth) {
                guard index < elements.count else { return nil }
                defer { index += 1 }
                return elements[index]
            })
    }
}

extension Jinja.Renderer {
    /// What the argument `attribute` of filters asks for: `a.b.0` item by item; nothing gives the value itself.
    func getter(
        _ attribute: Value?, default fallback: Value? = nil, ignoringCase: Bool = false
    ) throws -> (Value) throws -> Value {
        var parts: [Value] = []
        switch attribute {
        case nil, .some(.none): break
        case .some(.string(let text)):
            parts = text.split(at: TracedString("."), limit: -1).map { part in
                part.all(Jinja.isASCIIDigit) ? Int(part.string).map { .int($0) } ?? .string(part) : .string(part)
            }
        case .some(let index): parts = [index]
        }
        return { [unowned self] value in
            var value = value
            for part in parts {
                try work()
                value = try item(part, of: value)
                if value.isUndefined, let fallback, !fallback.isNone { value = fallback }
            }
            if ignoringCase, case .string(let text) = value {
                try allocate(text.count)
                return .string(text.lowercased())
            }
            return value
        }
    }

    /// A stable sort whose order may throw.
    func sorted<Element>(
        _ elements: [Element], _ isLess: (Element, Element) throws -> Bool
    ) throws -> [Element] {
        var current = elements
        var width = 1
        while width < current.count {
            try work(current.count)
            var next: [Element] = []
            next.reserveCapacity(current.count)
            var start = 0
            while start < current.count {
                let middle = min(start + width, current.count)
                let end = min(middle + width, current.count)
                var (left, right) = (start, middle)
                while left < middle, right < end {
                    if try isLess(current[right], current[left]) {
                        next.append(current[right])
                        right += 1
                    } else {
                        next.append(current[left])
                        left += 1
                    }
                }
                next += current[left..<middle]
                next += current[right..<end]
                start = end
            }
            current = next
            width *= 2
        }
        return current
    }
}
