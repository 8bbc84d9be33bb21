extension Jinja {
    /// A value with behaviour of its own.
    class Object {
        var depth: Int { 1 }
        var typeName: String { "object" }
        var isCallable: Bool { false }
        var description: String { "<\(typeName) object>" }

        func attribute(_ name: String, _ renderer: Renderer) throws -> Value? { nil }

        func call(_ arguments: Arguments, _ renderer: Renderer) throws -> Value {
            throw Fault.type("'\(typeName)' object is not callable")
        }
    }

    /// `namespace(...)`: the one thing whose contents a template may change.
    final class Namespace: Object {
        private(set) var names: [String] = []
        private(set) var values: [String: Value] = [:]

        // The renderer empties every namespace in the end, so depth needs no count here and cycles do not leak.
        override var depth: Int { 0 }
        override var typeName: String { "Namespace" }

        func set(_ name: String, _ value: Value) {
            if values.updateValue(value, forKey: name) == nil { names.append(name) }
        }

        func removeAll() {
            names = []
            values = [:]
        }

        override func attribute(_ name: String, _ renderer: Renderer) -> Value? { values[name] }
    }

    /// A function of the engine, or a method together with the value it was asked of.
    final class Function: Object {
        typealias Body = (Arguments, Renderer) throws -> Value
        let name: String
        private let body: Body
        private let level: Int

        init(_ name: String, depth: Int = 0, _ body: @escaping Body) throws {
            self.name = name
            self.body = body
            level = depth + 1
            if level > maximumValueDepth { throw Fault.limit("values nested more than \(maximumValueDepth) deep") }
        }

        override var depth: Int { level }
        override var typeName: String { "builtin_function_or_method" }
        override var isCallable: Bool { true }
        override var description: String { "<built-in method \(name)>" }

        override func call(_ arguments: Arguments, _ renderer: Renderer) throws -> Value {
            try body(arguments, renderer)
        }
    }

    /// `cycler(...)`: gives its items in turn.
    final class Cycler: Object {
        private let items: Items
        private var position = 0

        init(_ items: Items) { self.items = items }

        override var depth: Int { items.depth + 1 }
        override var typeName: String { "Cycler" }

        override func attribute(_ name: String, _ renderer: Renderer) throws -> Value? {
            switch name {
            case "current": items.elements[position]
            case "reset":
                .object(
                    try Function(name, depth: depth) { _, _ in
                        self.position = 0
                        return .none
                    })
            case "next":
                .object(
                    try Function(name, depth: depth) { _, _ in
                        let item = self.items.elements[self.position]
                        self.position = (self.position + 1) % self.items.elements.count
                        return item
                    })
            default: nil
            }
        }
    }

    /// `joiner(...)`: nothing the first time, then its separator.
    final class Joiner: Object {
        private let separator: TracedString
        private var isUsed = false

        init(_ separator: TracedString) { self.separator = separator }

        override var typeName: String { "Joiner" }
        override var isCallable: Bool { true }

        override func call(_ arguments: Arguments, _ renderer: Renderer) throws -> Value {
            defer { isUsed = true }
            return .string(isUsed ? separator : TracedString())
        }
    }

    /// A macro, or the body of a `{% call %}` block, with the scope it was written in.
    final class Macro: Object {
        let definition: MacroDefinition
        let scope: Scope

        init(_ definition: MacroDefinition, _ scope: Scope) {
            self.definition = definition
            self.scope = scope
        }

        // Scopes that hold macros are emptied in the end, as namespaces are.
        override var depth: Int { 0 }
        override var typeName: String { "Macro" }
        override var isCallable: Bool { true }
        override var description: String {
            definition.name.map { "<Macro '\($0)'>" } ?? "<Macro anonymous>"
        }

        override func attribute(_ name: String, _ renderer: Renderer) throws -> Value? {
            switch name {
            case "name": definition.name.map { .string($0) } ?? Value.none
            case "arguments": try .tuple(definition.parameters.map { .string($0.name) })
            case "catch_kwargs": .bool(definition.catchesNamed)
            case "catch_varargs": .bool(definition.catchesPositional)
            case "caller": .bool(definition.usesCaller)
            default: nil
            }
        }

        override func call(_ arguments: Arguments, _ renderer: Renderer) throws -> Value {
            .string(try renderer.call(self, arguments))
        }
    }

    /// The variables of a block; lookups go on in the block around it.
    final class Scope {
        var variables: [String: Value] = [:]
        let parent: Scope?

        init(_ parent: Scope?) { self.parent = parent }

        func find(_ name: String) -> Value? {
            var scope: Scope? = self
            while let current = scope {
                if let value = current.variables[name] { return value }
                scope = current.parent
            }
            return nil
        }
    }
}
