import Synchronization

/// Shows how far a long work has come: how many, how fast, how long still, and the memory.
///
/// On a terminal one line is redrawn; elsewhere a plain line is written every few seconds, so that a log file stays
/// short and readable. All methods may be called from any thread and cost next to nothing between redraws.
public final class ProgressBar: Sendable {
    private struct State {
        var done: Int
        var note = ""
        var speed = Speed()
        var lastDrawn: Double?
        var finished = false
    }

    private let label: String
    private let unit: String
    private let total: Int?
    private let first: Int
    private let output: TerminalOutput
    private let now: @Sendable () -> Double
    private let started: Double
    private let state: Mutex<State>

    /// Shows the first line.
    ///
    /// - Parameters:
    ///   - label: what is done.
    ///   - total: how many there are, if that is known.
    ///   - done: how many were done before, in a resumed run.
    ///   - unit: one of what is counted: `step`, `image`.
    ///   - output: where the line goes.
    public convenience init(
        _ label: String, total: Int? = nil, done: Int = 0, unit: String = "step",
        output: TerminalOutput = .standardError
    ) {
        let clock = ContinuousClock()
        let origin = clock.now
        self.init(label, total: total, done: done, unit: unit, output: output) {
            (clock.now - origin) / .seconds(1)
        }
    }

    init(
        _ label: String, total: Int?, done: Int, unit: String, output: TerminalOutput,
        now: @escaping @Sendable () -> Double
    ) {
        self.label = label.printable
        self.unit = unit
        self.total = total.map { max($0, 0) }
        first = done
        self.output = output
        self.now = now
        started = now()
        state = Mutex(State(done: done))
        state.withLock { draw(&$0, always: true) }
    }

    /// Counts `count` more, and shows `note` (the loss, say) behind the numbers.
    public func advance(by count: Int = 1, note: String? = nil) {
        state.withLock { state in
            state.done += count
            if let note { state.note = note.printable }
            draw(&state, always: false)
        }
    }

    /// Sets how many are done.
    public func update(to done: Int, note: String? = nil) {
        state.withLock { state in
            state.done = done
            if let note { state.note = note.printable }
            draw(&state, always: false)
        }
    }

    /// Writes a line above the bar, for what must not be lost when the bar is redrawn.
    public func message(_ line: String) {
        state.withLock { state in
            output.write(output.isTerminal ? "\r\u{1B}[K\(line)\n" : "\(line)\n")
            if output.isTerminal, !state.finished { draw(&state, always: true) }
        }
    }

    /// Shows the last line, with the whole time. Later calls do nothing.
    public func finish(note: String? = nil) {
        state.withLock { state in
            guard !state.finished else { return }
            if let note { state.note = note.printable }
            state.finished = true
            draw(&state, always: true)
        }
    }

    private func draw(_ state: inout State, always: Bool) {
        let time = now()
        let interval = output.isTerminal ? 0.1 : 5
        guard always || (!state.finished && time - (state.lastDrawn ?? -.infinity) >= interval) else { return }
        state.speed.record(done: state.done - first, at: time - started)
        state.lastDrawn = time
        if output.isTerminal {
            // One column stays free: some terminals wrap when the last one is filled.
            let text = coloured(line(state, time).truncated(to: max(output.columns - 1, 10)))
            output.write("\r\(text)\u{1B}[K\(state.finished ? "\n" : "")")
        } else {
            output.line(line(state, time))
        }
    }

    private func line(_ state: State, _ time: Double) -> String {
        var parts = [label]
        let elapsed = time - started
        if let total {
            let share = total == 0 ? 1 : min(1, max(0, Double(state.done) / Double(total)))
            parts.append("\(Format.decimal((share * 100).rounded(.down), 0)) %".padded(to: 5, .right))
            if output.isTerminal, output.columns >= 60 { parts.append(bar(share, width: min(30, output.columns / 5))) }
            parts.append("\(Format.grouped(state.done))/\(Format.grouped(total))")
        } else {
            parts.append(Format.grouped(state.done))
        }
        // At the end the mean of the whole run says more than the last seconds.
        let mean = elapsed > 0 ? Double(state.done - first) / elapsed : 0
        let rate = state.finished ? mean : state.speed.perSecond ?? mean
        if rate > 0 { parts.append(Format.rate(rate, unit: unit)) }
        if state.finished {
            parts.append("in \(Format.duration(elapsed))")
        } else if let total, rate > 0, total > state.done {
            parts.append("ETA \(Format.duration(Double(total - state.done) / rate))")
        }
        if let bytes = residentMemory() { parts.append(Format.bytes(bytes)) }
        if !state.note.isEmpty { parts.append(state.note) }
        return parts.joined(separator: "  ")
    }

    private var cells: (full: Character, empty: Character) { output.isUnicode ? ("━", "─") : ("#", "-") }

    private func bar(_ share: Double, width: Int) -> String {
        let filled = Int((share * Double(width)).rounded(.down))
        return String(repeating: cells.full, count: filled) + String(repeating: cells.empty, count: width - filled)
    }

    /// Colours come last, when the text is cut to the line: they are characters that take no columns.
    private func coloured(_ line: String) -> String {
        guard output.hasColour, output.isUnicode else { return line }
        let before = line.prefix { $0 != cells.full && $0 != cells.empty }
        let done = line.dropFirst(before.count).prefix { $0 == cells.full }
        let left = line.dropFirst(before.count + done.count).prefix { $0 == cells.empty }
        let after = line.dropFirst(before.count + done.count + left.count)
        return before + output.coloured(String(done), .green) + output.coloured(String(left), .dim) + after
    }
}
