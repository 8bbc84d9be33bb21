public import Foundation
import Media
import Terminal
public import Training

/// What a run's folder tells of it.
public struct RunHistory {
    public let folder: URL
    public let lines: [LogLine]
    public var name: String

    /// Reads the folder's `log.jsonl`.
    ///
    /// - Throws: `RunHistoryError` where there is no log, or none of a run.
    public init(_ folder: URL) throws {
        self.folder = folder
        let path = folder.appendingPathComponent("log.jsonl").path
        guard FileManager.default.fileExists(atPath: path) else { throw RunHistoryError.noLog(folder.path) }
        lines = try LogLine.read(path)
        guard lines.contains(where: { $0.event == "step" || $0.run != nil }) else {
            throw RunHistoryError.empty(path)
        }
        name = folder.standardizedFileURL.lastPathComponent
    }

    func lines(_ event: String) -> [LogLine] { lines.filter { $0.event == event } }

    var steps: [LogLine] { lines("step") }
    var evaluations: [LogLine] { lines("evaluation") }
    /// As the run was begun, or gone on with last.
    var facts: RunFacts? { lines.last { $0.run != nil }?.run }
    /// Where each stage's first logged step is, behind the first stage.
    var boundaries: [(step: Double, stage: String)] {
        zip(steps, steps.dropFirst()).compactMap { before, line in
            guard let stage = line.stage, stage != before.stage, let step = before.step else { return nil }
            return (Double(step), stage)
        }
    }

    /// A field of some lines over their steps.
    func series(
        _ label: String, _ lines: [LogLine], isDashed: Bool = false, color: Int = 0,
        _ value: (LogLine) -> Double?
    ) -> LineChart.Series {
        LineChart.Series(
            label: label, color: color, isDashed: isDashed,
            points: lines.compactMap { line in
                guard let step = line.step, let value = value(line) else { return nil }
                return (Double(step), value)
            })
    }

    /// Samples and tokens by source over the whole run, those with most tokens first.
    var sources: [(name: String, share: SourceShare)] {
        var sums: [String: SourceShare] = [:]
        for (name, share) in steps.flatMap({ Array($0.sources ?? [:]) }) {
            sums[name, default: SourceShare()] += share
        }
        return sums.map { (name: $0.key, share: $0.value) }.sorted {
            ($0.share.tokens, $1.name) > ($1.share.tokens, $0.name)
        }
    }

    /// The answers to a held-out question over time; what is said again and again is one of them.
    func answers(to question: HeldOutQuestion) -> [(steps: ClosedRange<Int>, text: String)] {
        var spans: [(steps: ClosedRange<Int>, text: String)] = []
        for line in lines("answer") where HeldOutQuestion(line) == question {
            let step = line.step ?? 0, text = line.answer ?? ""
            if let last = spans.last, last.text == text, step >= last.steps.lowerBound {
                spans[spans.count - 1].steps = last.steps.lowerBound...step
            } else {
                spans.append((step...step, text))
            }
        }
        return spans
    }

    /// What a reader wants to know first, as names and values.
    var glance: [(name: String, value: String)] {
        var rows: [(name: String, value: String)] = []
        func add(_ name: String, _ value: String?) { if let value { rows.append((name, value)) } }
        let steps = self.steps, last = steps.last
        add("steps", last?.step.map(Format.grouped))
        add("training time", last?.trainedSeconds.map(Format.duration))
        add("tokens", Format.count(steps.reduce(0) { $0 + ($1.tokens ?? 0) }))
        add("last loss", last?.loss.map { Format.decimal($0, 4) })
        if let best = evaluations.filter({ $0.loss?.isFinite == true }).min(by: { ($0.loss ?? 0) < ($1.loss ?? 0) }) {
            add("best held-out loss", best.loss.map { Format.decimal($0, 4) })
            add("at step", best.step.map(Format.grouped))
        }
        if let latest = evaluations.last {
            add("held-out accuracy", latest.accuracy.map { Format.percent($0) })
            add("the same, blind", latest.blindAccuracy.map { Format.percent($0) })
        }
        add("tokens a second", Self.median(steps.compactMap(\.tokensPerSecond)).map { Format.count(Int($0)) })
        add("utilisation (MFU)", Self.median(steps.compactMap(\.utilisation)).map { Format.percent($0) })
        add("rows full", Self.median(steps.compactMap(\.filled)).map { Format.percent($0) })
        let seconds = steps.reduce(0) { $0 + Double($1.tokens ?? 0) / max($1.tokensPerSecond ?? 0, 1e-9) }
        let waited = steps.reduce(0) { $0 + ($1.waitedSeconds ?? 0) }
        if seconds > 0 { add("waiting for data", Format.percent(waited / seconds)) }
        add("memory at most", steps.compactMap(\.residentBytes).max().map(Format.bytes))
        add("memory of the GPU at most", steps.compactMap(\.deviceBytes).max().map(Format.bytes))
        add("skipped steps", last?.skippedSteps.map(Format.grouped))
        add("skipped samples", last?.skippedSamples.map(Format.grouped))
        return rows
    }

    private static func median(_ values: [Double]) -> Double? {
        let sorted = values.filter(\.isFinite).sorted()
        return sorted.isEmpty ? nil : sorted[sorted.count / 2]
    }

    /// A kept picture's bytes. Nil for what is not there, or is no name that a run gives: the log may be anybody's.
    func picture(_ name: String) -> Data? {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "answers", parts[1].hasSuffix(".png"), !parts[1].hasPrefix(".") else {
            return nil
        }
        guard let data = try? Data(contentsOf: folder.appendingPathComponent(name)), data.count < 4 << 20,
            data.starts(with: [0x89, 0x50, 0x4E, 0x47])
        else { return nil }
        return data
    }
}

/// A question that is asked at each evaluation; the same one in several runs.
struct HeldOutQuestion: Hashable {
    var sample: String
    var text: String
    var truth: String
    var pictures: [String]

    init(_ line: LogLine) {
        sample = line.sample ?? ""
        text = (line.question ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
        truth = (line.truth ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
        pictures = line.files ?? []
    }
}

/// A folder that is no run's.
public enum RunHistoryError: Error, Sendable, CustomStringConvertible {
    case noLog(String)
    case empty(String)

    public var description: String {
        switch self {
        case .noLog(let folder): "\(folder) has no log.jsonl; name the output folder of omma train or omma finetune"
        case .empty(let path): "\(path) tells of no run"
        }
    }
}
