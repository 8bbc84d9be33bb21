extension Jinja {
    /// The arguments of a call.
    struct Arguments {
        var positional: [Value] = []
        var named: [(name: String, value: Value)] = []

        /// The arguments in the order of `names`, as Python would bind them; `nil` for those not given.
        func bind(_ function: String, _ names: [String], required: Int = 0) throws -> Bound {
            if positional.count > names.count {
                throw Fault.type("\(function)() takes at most \(names.count) arguments (\(positional.count) given)")
            }
            var result = positional.map(Optional.some) + Array(repeating: nil, count: names.count - positional.count)
            for (name, value) in named {
                guard let index = names.firstIndex(of: name) else {
                    throw Fault.type("\(function)() got an unexpected keyword argument '\(name)'")
                }
                if result[index] != nil {
                    throw Fault.type("\(function)() got multiple values for argument '\(name)'")
                }
                result[index] = value
            }
            for index in 0..<required where result[index] == nil {
                throw Fault.type("\(function)() missing required argument '\(names[index])'")
            }
            return Bound(function: function, names: names, values: result)
        }
    }

    /// Arguments bound to parameters; the index is the parameter's.
    struct Bound {
        var function: String
        var names: [String]
        var values: [Value?]

        subscript(_ index: Int) -> Value? { values[index] }

        private func wrong(_ index: Int, _ wanted: String) -> Fault {
            let given = values[index].map(\.typeName) ?? "nothing"
            return .type("\(function)(): argument '\(names[index])' must be \(wanted), not \(given)")
        }

        func value(_ index: Int) throws -> Value {
            guard let value = values[index] else { throw wrong(index, "given") }
            if case .undefined = value { return value }
            return value
        }

        func text(_ index: Int) throws -> TracedString {
            guard case .string(let text)? = values[index] else { throw wrong(index, "str") }
            return text
        }

        /// A string, or `nil` for `None` and arguments not given.
        func optionalText(_ index: Int) throws -> TracedString? {
            switch values[index] {
            case nil, .some(.none): nil
            case .some(.string(let text)): text
            default: throw wrong(index, "str or None")
            }
        }

        func whole(_ index: Int, default fallback: Int) throws -> Int {
            switch values[index] {
            case nil: return fallback
            case .some(let value):
                guard let number = value.wholeNumber else { throw wrong(index, "int") }
                return number
            }
        }

        /// A whole number, or `nil` for `None` and arguments not given.
        func optionalWhole(_ index: Int) throws -> Int? {
            switch values[index] {
            case nil, .some(.none): return nil
            case .some(let value):
                guard let number = value.wholeNumber else { throw wrong(index, "int or None") }
                return number
            }
        }

        func flag(_ index: Int, default fallback: Bool = false) -> Bool {
            values[index]?.isTrue ?? fallback
        }
    }
}
