extension Jinja {
    /// What may stand behind `is`.
    enum Tests {
        typealias Test = @Sendable (Value, Arguments, Renderer) throws -> Bool

        /// The tests that take no arguments.
        static let plain: Set = [
            "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string",
            "mapping",
            "sequence", "iterable", "callable", "escaped", "lower", "upper", "odd", "even", "filter", "test",
        ]

        static let table: [String: Test] = {
            var table: [String: Test] = [
                "defined": { value, _, _ in !value.isUndefined },
                "undefined": { value, _, _ in value.isUndefined },
                "none": { value, _, _ in value.isNone },
                "boolean": { value, _, _ in if case .bool = value { true } else { false } },
                "true": { value, _, _ in if case .bool(true) = value { true } else { false } },
                "false": { value, _, _ in if case .bool(false) = value { true } else { false } },
                "integer": { value, _, _ in if case .int = value { true } else { false } },
                "float": { value, _, _ in if case .double = value { true } else { false } },
                "number": { value, _, _ in value.number != nil },
                "string": { value, _, _ in if case .string = value { true } else { false } },
                "mapping": { value, _, _ in if case .dictionary = value { true } else { false } },
                "sequence": { value, _, _ in
                    switch value {
                    case .undefined, .string, .list, .tuple, .dictionary, .range: true
                    default: false
                    }
                },
                "iterable": { value, _, _ in
                    switch value {
                    case .none, .bool, .int, .double: false
                    case .object(let object): object is Loop
                    default: true
                    }
                },
                "callable": { value, _, _ in
                    switch value {
                    case .undefined: true
                    case .object(let object): object.isCallable
                    default: false
                    }
                },
                "escaped": { value, _, _ in if case .string(let text) = value { text.isMarkup } else { false } },
                "lower": { value, _, renderer in try renderer.string(value).isLower },
                "upper": { value, _, renderer in try renderer.string(value).isUpper },
                "odd": { value, _, renderer in try remainder(value, .int(2), renderer, is: 1) },
                "even": { value, _, renderer in try remainder(value, .int(2), renderer, is: 0) },
                "divisibleby": { value, arguments, renderer in
                    try remainder(value, try other("divisibleby", arguments), renderer, is: 0)
                },
                "in": { value, arguments, renderer in try renderer.contains(try other("in", arguments), value) },
                "sameas": { value, arguments, renderer in
                    isSame(value, try other("sameas", arguments))
                },
                "filter": { value, _, renderer in Filters.table[try renderer.string(value).string] != nil },
                "test": { value, _, renderer in Tests.table[try renderer.string(value).string] != nil },
            ]
            let comparisons: [(ComparisonOperator, [String])] = [
                (.equal, ["==", "eq", "equalto"]), (.notEqual, ["!=", "ne"]), (.less, ["<", "lt", "lessthan"]),
                (.lessOrEqual, ["<=", "le"]), (.greater, [">", "gt", "greaterthan"]), (.greaterOrEqual, [">=", "ge"]),
            ]
            for (comparison, names) in comparisons {
                for name in names {
                    table[name] = { value, arguments, renderer in
                        try renderer.compare(comparison, value, try other(name, arguments))
                    }
                }
            }
            return table
        }()

        private static func other(_ name: String, _ arguments: Arguments) throws -> Value {
            try arguments.bind(name, ["other"], required: 1).value(0)
        }

        private static func remainder(
            _ value: Value, _ divisor: Value, _ renderer: Renderer, is wanted: Int
        ) throws -> Bool {
            try renderer.equals(try renderer.arithmetic(.remainder, value, divisor), .int(wanted))
        }

        /// Python's `is`, as far as values without identity allow.
        private static func isSame(_ one: Value, _ other: Value) -> Bool {
            switch (one, other) {
            case (.none, .none): true
            case (.bool(let a), .bool(let b)): a == b
            case (.int(let a), .int(let b)): a == b
            case (.double(let a), .double(let b)): a == b
            case (.string(let a), .string(let b)): a == b
            case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): a === b
            case (.dictionary(let a), .dictionary(let b)): a === b
            case (.object(let a), .object(let b)): a === b
            case (.undefined(let a), .undefined(let b)): a === b
            default: false
            }
        }
    }
}
