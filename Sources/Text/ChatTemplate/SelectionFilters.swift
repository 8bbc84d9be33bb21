extension Jinja.Filters {
    /// Filters that order, group, choose and map.
    static let selection: [String: Filter] = [
        "sort": { value, arguments, renderer in
            let bound = try arguments.bind("sort", ["reverse", "case_sensitive", "attribute"])
            var attributes: [Value?] = [bound[2]]
            if case .string(let text)? = bound[2] {
                attributes = text.split(at: TracedString(","), limit: -1).map { .string($0) }
            }
            let getters = try attributes.map { try renderer.getter($0, ignoringCase: !bound.flag(1)) }
            let keyed = try renderer.elements(value).map { element in
                (key: try Value.list(try getters.map { try $0(element) }), element: element)
            }
            return try renderer.list(try ordered(keyed, reverse: bound.flag(0), renderer))
        },
        "dictsort": { value, arguments, renderer in
            let bound = try arguments.bind("dictsort", ["case_sensitive", "by", "reverse"])
            guard case .dictionary(let mapping) = value else { throw Fault.type("dictsort wants a dict") }
            let by = try bound.optionalText(1)?.string ?? "key"
            guard by == "key" || by == "value" else {
                throw Fault.value("You can only sort by either \"key\" or \"value\"")
            }
            let get = try renderer.getter(nil, ignoringCase: !bound.flag(0))
            let keyed = try mapping.pairs.map { key, value in
                (key: try get(by == "key" ? key : value), element: try Value.tuple([key, value]))
            }
            return try renderer.list(try ordered(keyed, reverse: bound.flag(2), renderer))
        },
        "unique": { value, arguments, renderer in
            let bound = try arguments.bind("unique", ["case_sensitive", "attribute"])
            let get = try renderer.getter(bound[1], ignoringCase: !bound.flag(0))
            var seen: Set<Jinja.Key> = []
            let result = try renderer.elements(value).filter { seen.insert(try Jinja.Key(try get($0))).inserted }
            return try generated("do_unique", result, value, renderer)
        },
        "min": { value, arguments, renderer in
            try extreme("min", value, arguments, renderer) { try renderer.isLess($0, $1) }
        },
        "max": { value, arguments, renderer in
            try extreme("max", value, arguments, renderer) { try renderer.isLess($1, $0) }
        },
        "sum": { value, arguments, renderer in
            let bound = try arguments.bind("sum", ["attribute", "start"])
            let get = try renderer.getter(bound[0])
            var result = bound[1] ?? .int(0)
            if case .string = result { throw Fault.type("sum() can't sum strings") }
            for element in try renderer.elements(value) {
                result = try renderer.arithmetic(.add, result, try get(element))
            }
            return result
        },
        "groupby": { value, arguments, renderer in
            let bound = try arguments.bind("groupby", ["attribute", "default", "case_sensitive"], required: 1)
            let get = try renderer.getter(bound[0], default: bound[1], ignoringCase: !bound.flag(2))
            let exact = try renderer.getter(bound[0], default: bound[1])
            let keyed = try renderer.elements(value).map { (key: try get($0), element: $0) }
            let sorted = try renderer.sorted(keyed) { try renderer.isLess($0.key, $1.key) }
            var groups: [Value] = []
            var start = 0
            while start < sorted.count {
                var end = start + 1
                while end < sorted.count, try renderer.equals(sorted[end].key, sorted[start].key) { end += 1 }
                let members = try renderer.list(sorted[start..<end].map(\.element))
                groups.append(
                    .tuple(
                        try Jinja.Items([try exact(sorted[start].element), members], fields: ["grouper", "list"])))
                start = end
            }
            return try renderer.list(groups)
        },
        "map": { value, arguments, renderer in
            // jinja2 looks at what is true only, so that even `None` maps to nothing.
            if !value.isTrue { return try generated("sync_do_map", [], value, renderer) }
            let next = try renderer.iterator(value)
            if arguments.positional.isEmpty, arguments.named.contains(where: { $0.name == "attribute" }) {
                let bound = try arguments.bind("map", ["attribute", "default"])
                let get = try renderer.getter(bound[0], default: bound[1])
                return try renderer.generator("sync_do_map", over: value) { try next().map(get) }
            }
            var rest = arguments
            guard !rest.positional.isEmpty, case .string(let name) = rest.positional.removeFirst() else {
                throw Fault.type("map requires a filter argument")
            }
            guard let filter = table[name.string] else {
                throw Fault(.syntax, "there is no filter named '\(name.string)'")
            }
            return try renderer.generator("sync_do_map", over: try holder(value, rest)) {
                try next().map { try filter($0, rest, renderer) }
            }
        },
        "select": { try selected("select", $0, $1, $2, hasAttribute: false, wanted: true) },
        "reject": { try selected("reject", $0, $1, $2, hasAttribute: false, wanted: false) },
        "selectattr": { try selected("selectattr", $0, $1, $2, hasAttribute: true, wanted: true) },
        "rejectattr": { try selected("rejectattr", $0, $1, $2, hasAttribute: true, wanted: false) },
    ]

    private static func ordered(
        _ keyed: [(key: Value, element: Value)], reverse: Bool, _ renderer: Renderer
    ) throws -> [Value] {
        try renderer.sorted(keyed) { one, other in
            reverse ? try renderer.isLess(other.key, one.key) : try renderer.isLess(one.key, other.key)
        }.map(\.element)
    }

    private static func extreme(
        _ name: String, _ value: Value, _ arguments: Arguments, _ renderer: Renderer,
        _ isBetter: (Value, Value) throws -> Bool
    ) throws -> Value {
        let bound = try arguments.bind(name, ["case_sensitive", "attribute"])
        let get = try renderer.getter(bound[1], ignoringCase: !bound.flag(0))
        var best: (key: Value, element: Value)?
        for element in try renderer.elements(value) {
            let key = try get(element)
            if let current = best, try !isBetter(key, current.key) { continue }
            best = (key, element)
        }
        return best?.element ?? .undefined("no aggregated item, the sequence was empty")
    }

    /// A value that lies as deep as everything a generator holds on to.
    private static func holder(_ value: Value, _ arguments: Arguments) throws -> Value {
        try .list([value] + arguments.positional + arguments.named.map(\.value))
    }

    private static func selected(
        _ name: String, _ value: Value, _ arguments: Arguments, _ renderer: Renderer, hasAttribute: Bool, wanted: Bool
    ) throws -> Value {
        if !value.isTrue { return try generated("select_or_reject", [], value, renderer) }
        var rest = arguments
        var get: (Value) throws -> Value = { $0 }
        if hasAttribute {
            guard !rest.positional.isEmpty else { throw Fault.type("missing parameter for attribute name") }
            get = try renderer.getter(rest.positional.removeFirst())
        }
        var test: Jinja.Tests.Test = { value, _, _ in value.isTrue }
        if !rest.positional.isEmpty {
            guard case .string(let name) = rest.positional.removeFirst(), let found = Jinja.Tests.table[name.string]
            else { throw Fault(.syntax, "there is no such test for '\(name)'") }
            test = found
        }
        let next = try renderer.iterator(value)
        let (getter, chosen) = (get, test)
        return try renderer.generator("select_or_reject", over: try holder(value, rest)) {
            while let element = try next() {
                if try chosen(try getter(element), rest, renderer) == wanted { return element }
            }
            return nil
        }
    }
}
