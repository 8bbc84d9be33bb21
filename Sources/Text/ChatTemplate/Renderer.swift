extension Jinja {
    /// One rendering: what it has written, what it may still use, and where it is.
    ///
    /// Statements, expressions, operators and so on are in extensions of their own.
    final class Renderer {
        private let limits: TemplateLimits
        private var stepsLeft: Int
        private var allocationLeft: Int
        private var stepsToClock = 0
        private let deadline: ContinuousClock.Instant
        private let stackBase: UInt

        let clock: TemplateClock
        var output = TracedString()
        /// The line of the statement being rendered.
        var line = 1
        private(set) var depth = 0
        var autoescapes = false
        /// The variables of the template's outermost level, over those of the context.
        let top: Scope
        private var namespaces: [Namespace] = []
        private var macroScopes: [Scope] = []

        init(context: [String: Value], size: Int, limits: TemplateLimits, clock: TemplateClock) {
            self.limits = limits
            self.clock = clock
            stepsLeft = limits.steps &+ min(size, Int.max / 64) &* 2
            allocationLeft = limits.allocation &+ min(size, Int.max / 64) &* 16
            deadline = ContinuousClock.now.advanced(by: .seconds(min(max(0, limits.seconds), 1e6)))
            stackBase = Self.stackAddress()
            let around = Scope(nil)
            around.variables = context
            top = Scope(around)
        }

        func render(_ statements: [Statement]) throws -> TracedString {
            defer { tearDown() }
            _ = try execute(statements, top)
            return output
        }

        /// Breaks the cycles between scopes, macros, namespaces and generators.
        private func tearDown() {
            for namespace in namespaces { namespace.removeAll() }
            for scope in macroScopes { scope.variables = [:] }
            top.variables = [:]
        }

        func register(_ namespace: Namespace) { namespaces.append(namespace) }
        func register(macrosIn scope: Scope) { macroScopes.append(scope) }

        // MARK: - limits

        /// Counts `amount` steps.
        @inline(__always)
        func work(_ amount: Int = 1) throws {
            stepsLeft -= amount
            stepsToClock -= amount
            if stepsToClock <= 0 { try checkClock() }
        }

        private func checkClock() throws {
            if stepsLeft < 0 { throw Fault.limit("more than \(limits.steps) steps") }
            if ContinuousClock.now > deadline { throw Fault.limit("more than \(limits.seconds) seconds") }
            stepsToClock = min(stepsLeft + 1, 1024)
        }

        /// Counts scalars that are about to be made.
        func allocate(_ count: Int) throws {
            guard count >= 0, count <= allocationLeft else {
                throw Fault.limit("the template makes too much text or data")
            }
            allocationLeft -= count
            try work(count / 16)
        }

        /// As `allocate`, for `count` pieces of `size` each.
        func allocate(_ count: Int, times size: Int) throws {
            let (total, overflow) = count.multipliedReportingOverflow(by: size)
            try allocate(overflow ? .max : total)
        }

        private static func stackAddress() -> UInt {
            var here: UInt8 = 0
            return withUnsafePointer(to: &here) { UInt(bitPattern: $0) }
        }

        /// One level deeper; to be balanced by `leave`.
        func enter() throws {
            try work()
            if depth >= limits.depth { throw Fault.limit("more than \(limits.depth) levels deep") }
            let here = Self.stackAddress()
            // Threads of Swift's pool have stacks of 512 kB on macOS; rendering may start some way down.
            if (stackBase > here ? stackBase - here : here - stackBase) > 320 << 10 {
                throw Fault.limit("nested too deeply")
            }
            depth += 1
        }

        func leave() { depth -= 1 }

        func write(_ text: TracedString) throws {
            try allocate(text.count)
            if output.count + text.count > limits.output { throw Fault.limit("more than \(limits.output) characters") }
            output.append(text)
        }

        /// What `body` writes.
        func capture(_ body: () throws -> Void) throws -> TracedString {
            let outer = output
            output = TracedString()
            defer { output = outer }
            try body()
            return output
        }

        // MARK: - making values

        func list(_ elements: [Value]) throws -> Value {
            try allocate(elements.count, times: 8)
            return try .list(elements)
        }

        func text(_ text: TracedString) throws -> Value {
            try allocate(text.count)
            return .string(text)
        }

        // MARK: - iterating

        /// Gives the elements of `value` one after the other, as Python's `iter` would.
        func iterator(_ value: Value) throws -> () throws -> Value? {
            var index = 0
            func over(_ elements: [Value]) -> () throws -> Value? {
                {
                    guard index < elements.count else { return nil }
                    defer { index += 1 }
                    return elements[index]
                }
            }
            switch value {
            case .undefined: return { nil }
            case .list(let items), .tuple(let items): return over(items.elements)
            case .dictionary(let mapping): return over(mapping.keys)
            case .view(let view):
                try allocate(view.mapping.count, times: 8)
                return over(try view.elements())
            case .string(let text):
                return {
                    guard index < text.count else { return nil }
                    defer { index += 1 }
                    return .string(text.slice(index..<index + 1))
                }
            case .range(let range):
                return {
                    guard index < range.count else { return nil }
                    defer { index += 1 }
                    return .int(range.element(index))
                }
            case .generator(let generator): return generator.next
            case .object(let loop as Loop): return loop.advance
            default: throw Fault.type("'\(value.typeName)' object is not iterable")
            }
        }

        /// All elements of `value`, as Python's `list` would give them.
        func elements(_ value: Value) throws -> [Value] {
            switch value {
            case .list(let items), .tuple(let items):
                try work(items.elements.count / 16)
                return items.elements
            default:
                let next = try iterator(value)
                var result: [Value] = []
                while let element = try next() {
                    try allocate(8)
                    result.append(element)
                }
                return result
            }
        }

        /// Python's `len`.
        func length(_ value: Value) throws -> Int {
            switch value {
            case .undefined: 0
            case .string(let text): text.count
            case .list(let items), .tuple(let items): items.elements.count
            case .dictionary(let mapping): mapping.count
            case .range(let range): range.count
            case .view(let view): view.mapping.count
            case .object(let loop as Loop): try loop.length()
            default: throw Fault.type("object of type '\(value.typeName)' has no len()")
            }
        }

        func generator(_ name: String, over value: Value, _ next: @escaping () throws -> Value?) throws -> Value {
            .generator(
                try Generator(name, over: value.depth) { [unowned self] in
                    try enter()
                    defer { leave() }
                    return try next()
                })
        }
    }
}
