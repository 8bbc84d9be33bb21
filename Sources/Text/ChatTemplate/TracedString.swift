extension Jinja {
    /// A string of Unicode scalars (what Python indexes) in which every scalar knows where it came from.
    ///
    /// Swift's `String` counts grapheme clusters and compares canonically; Python does neither.
    struct TracedString: Sendable {
        struct Origin: Hashable, Sendable {
            var source: TaggedText.Source
            /// Rendered inside a `{% generation %}` block.
            var generated = false

            static let template = Origin(source: .template)
        }

        struct Run: Sendable {
            var end: Int
            var origin: Origin
        }

        private(set) var scalars: [Unicode.Scalar]
        /// Ends ascend and the last is `count`; empty when the whole string is template text.
        private(set) var runs: [Run]
        /// Set by `safe` and `escape`: adding plain text to it escapes that text.
        var isMarkup = false

        init() {
            scalars = []
            runs = []
        }

        /// Text of the template.
        init(_ text: String) {
            scalars = Array(text.unicodeScalars)
            runs = []
        }

        init(_ text: String, _ origin: Origin) {
            self.init(Array(text.unicodeScalars), origin)
        }

        init(_ scalars: [Unicode.Scalar], _ origin: Origin = .template) {
            self.scalars = scalars
            runs = origin == .template || scalars.isEmpty ? [] : [Run(end: scalars.count, origin: origin)]
        }

        init(_ text: TaggedText) {
            self.init()
            for run in text.runs { append(TracedString(run.text, Origin(source: run.source))) }
        }

        var count: Int { scalars.count }
        var isEmpty: Bool { scalars.isEmpty }

        var string: String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars)
            return String(view)
        }

        // MARK: - pieces

        /// The runs with their beginnings, the all-template case included.
        func forEachRun(_ body: (Range<Int>, Origin) throws -> Void) rethrows {
            if runs.isEmpty {
                if !scalars.isEmpty { try body(0..<scalars.count, .template) }
                return
            }
            var start = 0
            for run in runs {
                try body(start..<run.end, run.origin)
                start = run.end
            }
        }

        private func runIndex(at index: Int) -> Int {
            var low = 0
            var high = runs.count
            while low < high {
                let middle = (low + high) / 2
                if runs[middle].end <= index { low = middle + 1 } else { high = middle }
            }
            return low
        }

        func origin(at index: Int) -> Origin {
            let run = runs.isEmpty ? 0 : runIndex(at: index)
            return run < runs.count ? runs[run].origin : .template
        }

        /// The origin that a text computed from the whole string takes: the first outside one, if there is any.
        var jointOrigin: Origin {
            runs.first { $0.origin.source != .template }?.origin ?? runs.first?.origin ?? .template
        }

        /// The piece at `range`, which must lie inside.
        func slice(_ range: Range<Int>) -> TracedString {
            if range == 0..<count { return plain }
            var result = TracedString(Array(scalars[range]))
            if runs.isEmpty || range.isEmpty { return result }
            var index = runIndex(at: range.lowerBound)
            while index < runs.count {
                let end = min(runs[index].end, range.upperBound)
                result.runs.append(Run(end: end - range.lowerBound, origin: runs[index].origin))
                if end == range.upperBound { break }
                index += 1
            }
            return result
        }

        /// The same text without the mark of markup.
        var plain: TracedString {
            var copy = self
            copy.isMarkup = false
            return copy
        }

        func gather(_ indices: some Sequence<Int>) -> TracedString {
            var result = TracedString()
            for index in indices { result.append(scalars[index], origin(at: index)) }
            return result
        }

        // MARK: - building

        private mutating func push(end: Int, _ origin: Origin) {
            if let last = runs.indices.last, runs[last].origin == origin {
                runs[last].end = end
            } else {
                runs.append(Run(end: end, origin: origin))
            }
        }

        private mutating func writeRuns() {
            if runs.isEmpty && !scalars.isEmpty { runs.append(Run(end: scalars.count, origin: .template)) }
        }

        mutating func append(_ scalar: Unicode.Scalar, _ origin: Origin) {
            if !(runs.isEmpty && origin == .template) {
                writeRuns()
                push(end: scalars.count + 1, origin)
            }
            scalars.append(scalar)
        }

        mutating func append(_ other: TracedString) {
            if other.isEmpty { return }
            if !(runs.isEmpty && other.runs.isEmpty) {
                writeRuns()
                let offset = scalars.count
                other.forEachRun { push(end: offset + $0.upperBound, $1) }
            }
            scalars.append(contentsOf: other.scalars)
        }

        mutating func append(_ text: String, _ origin: Origin = .template) {
            append(TracedString(text, origin))
        }

        /// Every scalar replaced by what `transform` makes of it, which keeps its origin.
        func mapScalars(_ transform: (Int, Unicode.Scalar) -> String?) -> TracedString {
            var result = TracedString()
            result.scalars.reserveCapacity(count)
            forEachRun { range, origin in
                let all = runs.isEmpty && origin == .template
                for index in range {
                    if let text = transform(index, scalars[index]) {
                        result.scalars.append(contentsOf: text.unicodeScalars)
                    } else {
                        result.scalars.append(scalars[index])
                    }
                }
                if !all && result.scalars.count > (result.runs.last?.end ?? 0) {
                    result.push(end: result.scalars.count, origin)
                }
            }
            return result
        }

        /// The same text, marked as rendered inside a `{% generation %}` block.
        func markedGenerated() -> TracedString {
            var result = self
            result.writeRuns()
            for index in result.runs.indices { result.runs[index].origin.generated = true }
            return result
        }

        // MARK: - results

        var taggedText: TaggedText {
            var result = TaggedText()
            forEachRun { range, origin in
                var view = String.UnicodeScalarView()
                view.append(contentsOf: scalars[range])
                result.append(String(view), origin.source)
            }
            return result
        }

        /// Where `{% generation %}` blocks stand, in UTF-8 bytes.
        var generatedRanges: [Range<Int>] {
            var result: [Range<Int>] = []
            var offset = 0
            forEachRun { range, origin in
                let bytes = scalars[range].reduce(0) { $0 + UTF8.width($1) }
                if origin.generated {
                    if let last = result.last, last.upperBound == offset {
                        result[result.count - 1] = last.lowerBound..<offset + bytes
                    } else {
                        result.append(offset..<offset + bytes)
                    }
                }
                offset += bytes
            }
            return result
        }
    }
}

extension Jinja.TracedString: Hashable {
    /// Strings are equal when their scalars are; where they came from does not count.
    static func == (left: Self, right: Self) -> Bool { left.scalars == right.scalars }
    func hash(into hasher: inout Hasher) { hasher.combine(scalars) }
}
