extension Jinja {
    /// What a template sees as `loop`.
    final class Loop: Object {
        private let next: () throws -> Value?
        private let level: Int
        private let sequenceDepth: Int
        /// Items that were asked for ahead of their turn.
        private var ahead: [Value] = []
        private var aheadStart = 0
        private var index = -1
        private var previous: Value?
        private var current: Value?
        private var lastChanged: [Value]?
        /// Renders the loop's body over other items, one level deeper, in a `recursive` loop.
        var recurse: ((Value, Int) throws -> TracedString)?

        init(_ next: @escaping () throws -> Value?, over depth: Int, level: Int) {
            self.next = next
            self.level = level
            sequenceDepth = depth
        }

        override var depth: Int { sequenceDepth + 1 }
        override var typeName: String { "LoopContext" }
        override var isCallable: Bool { true }
        override var description: String { "<LoopContext \(index + 1)>" }

        func advance() throws -> Value? {
            let item: Value?
            if aheadStart < ahead.count {
                item = ahead[aheadStart]
                aheadStart += 1
                if aheadStart == ahead.count {
                    ahead = []
                    aheadStart = 0
                }
            } else {
                item = try next()
            }
            guard let item else { return nil }
            previous = current
            current = item
            index += 1
            return item
        }

        private func peek() throws -> Value? {
            if aheadStart == ahead.count, let item = try next() { ahead.append(item) }
            return aheadStart < ahead.count ? ahead[aheadStart] : nil
        }

        func length() throws -> Int {
            while let item = try next() { ahead.append(item) }
            return index + 1 + ahead.count - aheadStart
        }

        override func attribute(_ name: String, _ renderer: Renderer) throws -> Value? {
            switch name {
            case "index": return .int(index + 1)
            case "index0": return .int(index)
            case "length": return .int(try counted(renderer))
            case "revindex": return .int(try counted(renderer) - index)
            case "revindex0": return .int(try counted(renderer) - index - 1)
            case "first": return .bool(index == 0)
            case "last": return .bool(try peek() == nil)
            case "depth": return .int(level + 1)
            case "depth0": return .int(level)
            case "previtem": return previous ?? .undefined("there is no previous item")
            case "nextitem": return try peek() ?? .undefined("there is no next item")
            case "cycle":
                let index = index
                return .object(
                    try Function(name) { arguments, _ in
                        let items = arguments.positional
                        if items.isEmpty { throw Fault.type("no items for cycling given") }
                        return items[index % items.count]
                    })
            case "changed":
                return .object(
                    try Function(name, depth: depth) { arguments, renderer in
                        let values = arguments.positional
                        defer { self.lastChanged = values }
                        guard let last = self.lastChanged, last.count == values.count else { return .bool(true) }
                        for (one, other) in zip(last, values) where try !renderer.equals(one, other) {
                            return .bool(true)
                        }
                        return .bool(false)
                    })
            default: return nil
            }
        }

        private func counted(_ renderer: Renderer) throws -> Int {
            let before = ahead.count
            let result = try length()
            try renderer.allocate(ahead.count - before, times: 8)
            return result
        }

        override func call(_ arguments: Arguments, _ renderer: Renderer) throws -> Value {
            guard let recurse else { throw Fault.type("only a loop marked 'recursive' can be called") }
            let bound = try arguments.bind("loop", ["iterable"], required: 1)
            return .string(try recurse(try bound.value(0), level + 1))
        }
    }
}
