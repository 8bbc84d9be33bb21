extension Jinja {
    /// What `value.name` gives before items are looked at: methods and attributes.
    static func member(_ name: String, of value: Value, _ renderer: Renderer) throws -> Value? {
        func bound(_ body: @escaping Function.Body) throws -> Value {
            .object(try Function(name, depth: value.depth, body))
        }
        switch value {
        case .string(let text):
            guard let method = StringMethods.table[name] else { return nil }
            return try bound { arguments, renderer in
                if StringMethods.plain.contains(name) { _ = try arguments.bind(name, []) }
                return try method(text, arguments, renderer)
            }
        case .list(let items):
            if listMutators.contains(name) { return forbidden(name, "list") }
            if name == "copy" {
                return try bound { arguments, _ in
                    _ = try arguments.bind(name, [])
                    return value
                }
            }
            return try sequenceMethod(name, items).map(bound)
        case .tuple(let items):
            if let field = items.fields.firstIndex(of: name) { return items.elements[field] }
            return try sequenceMethod(name, items).map(bound)
        case .dictionary(let mapping):
            if dictionaryMutators.contains(name) { return forbidden(name, "dict") }
            return try dictionaryMethod(name, mapping).map(bound)
        case .range(let range):
            switch name {
            case "start": return .int(range.start)
            case "stop": return .int(range.stop)
            case "step": return .int(range.step)
            case "count", "index":
                try renderer.allocate(range.count, times: 8)
                let items = try Items((0..<range.count).map { .int(range.element($0)) })
                return try sequenceMethod(name, items).map(bound)
            default: return nil
            }
        case .double(let number) where name == "is_integer":
            return try bound { _, _ in .bool(number.isFinite && number == number.rounded()) }
        case .object(let object): return try object.attribute(name, renderer)
        default: return nil
        }
    }

    private static let listMutators: Set = [
        "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
    ]
    private static let dictionaryMutators: Set = ["clear", "pop", "popitem", "setdefault", "update"]

    /// Prints as nothing, and refuses to be called: what the immutable sandbox makes of methods that change things.
    private static func forbidden(_ name: String, _ type: String) -> Value {
        .undefined(Undefined(.security("access to attribute '\(name)' of '\(type)' object is unsafe")))
    }

    private static func sequenceMethod(_ name: String, _ items: Items) -> Function.Body? {
        switch name {
        case "count":
            { arguments, renderer in
                let item = try arguments.bind(name, ["value"], required: 1).value(0)
                return .int(try items.elements.reduce(0) { try $0 + (renderer.equals($1, item) ? 1 : 0) })
            }
        case "index":
            { arguments, renderer in
                let item = try arguments.bind(name, ["value"], required: 1).value(0)
                for (index, element) in items.elements.enumerated() where try renderer.equals(element, item) {
                    return .int(index)
                }
                throw Fault.value("\(try renderer.representation(item).string) is not in the sequence")
            }
        default: nil
        }
    }

    private static func dictionaryMethod(_ name: String, _ mapping: Mapping) -> Function.Body? {
        switch name {
        case "get":
            { arguments, _ in
                let bound = try arguments.bind(name, ["key", "default"], required: 1)
                return mapping[try Key(bound.value(0))] ?? bound[1] ?? .none
            }
        case "keys", "values", "items":
            { arguments, _ in
                _ = try arguments.bind(name, [])
                return .view(MappingView(kind: MappingView.Kind(rawValue: name) ?? .keys, mapping: mapping))
            }
        case "copy":
            { arguments, _ in
                _ = try arguments.bind(name, [])
                return .dictionary(mapping)
            }
        default: nil
        }
    }

    // MARK: - globals

    /// The functions that every template sees.
    static let globals: [String: @Sendable (Arguments, Renderer) throws -> Value] = [
        "raise_exception": { arguments, renderer in
            let message = try arguments.bind("raise_exception", ["message"], required: 1).value(0)
            throw Fault(.raised, try renderer.string(message).string)
        },
        "strftime_now": { arguments, renderer in
            let format = try arguments.bind("strftime_now", ["format"], required: 1).text(0)
            try renderer.allocate(format.count, times: 64)
            return .string(TracedString(renderer.clock.text(format.string), format.jointOrigin))
        },
        "range": { arguments, _ in
            let numbers = try arguments.positional.map { value in
                guard let number = value.wholeNumber else {
                    throw Fault.type("'\(value.typeName)' object cannot be interpreted as an integer")
                }
                return number
            }
            guard arguments.named.isEmpty, (1...3).contains(numbers.count) else {
                throw Fault.type("range() takes 1 to 3 positional arguments")
            }
            let (start, stop) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
            let step = numbers.count == 3 ? numbers[2] : 1
            if step == 0 { throw Fault.value("range() arg 3 must not be zero") }
            let isEmpty = step > 0 ? start >= stop : start <= stop
            let (low, high) = (min(start, stop), max(start, stop))
            let span = isEmpty ? 0 : UInt(bitPattern: high &- low)
            let count = isEmpty ? 0 : (span - 1) / step.magnitude + 1
            if count > 100_000 { throw Fault.limit("range too big: the sandbox blocks ranges above 100000 elements") }
            return .range(NumberRange(start: start, stop: stop, step: step, count: Int(count)))
        },
        "dict": { arguments, renderer in
            .dictionary(try mapping(arguments, renderer))
        },
        "namespace": { arguments, renderer in
            let namespace = Namespace()
            for (key, value) in try mapping(arguments, renderer).pairs {
                namespace.set(try renderer.string(key).string, value)
            }
            renderer.register(namespace)
            return .object(namespace)
        },
        "cycler": { arguments, _ in
            if arguments.positional.isEmpty { throw Fault.type("at least one item has to be provided") }
            return .object(Cycler(try Items(arguments.positional)))
        },
        "joiner": { arguments, renderer in
            let bound = try arguments.bind("joiner", ["sep"])
            return .object(Joiner(try bound[0].map { try renderer.string($0) } ?? TracedString(", ")))
        },
    ]

    private static func mapping(_ arguments: Arguments, _ renderer: Renderer) throws -> Mapping {
        var pairs: [(Value, Value)] = []
        if arguments.positional.count > 1 { throw Fault.type("dict expected at most 1 argument") }
        if let source = arguments.positional.first {
            if case .dictionary(let mapping) = source {
                pairs = Array(mapping.pairs)
            } else {
                pairs = try renderer.elements(source).map { element in
                    let parts = try renderer.elements(element)
                    guard parts.count == 2 else { throw Fault.value("dictionary update sequence wants pairs") }
                    return (parts[0], parts[1])
                }
            }
        }
        pairs += arguments.named.map { (.string($0.name), $0.value) }
        try renderer.allocate(pairs.count, times: 32)
        return try Mapping(pairs)
    }
}
