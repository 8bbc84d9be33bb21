import Foundation
import Terminal
import Training

/// A page about one run or several: curves, data, answers over time, what was skipped, machine and recipe. It is one
/// file that asks for nothing else.
public struct RunReport {
    private let runs: [RunHistory]

    public init(_ runs: [RunHistory]) {
        // Two folders may have one name; a reader must tell them apart.
        let counts = Dictionary(grouping: runs, by: \.name).mapValues(\.count)
        self.runs = runs.map { run in
            var run = run
            if (counts[run.name] ?? 0) > 1 {
                run.name = run.folder.standardizedFileURL.pathComponents.suffix(2).joined(separator: "/")
            }
            return run
        }
    }

    public var html: String {
        let names = runs.map(\.name).joined(separator: ", ")
        let isOne = runs.count == 1
        let facts = runs.first?.facts
        let about = isOne ? facts.map { "\(Format.grouped($0.parameters)) parameters, \($0.machine.precision)" } : nil
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
            style-src 'unsafe-inline'; script-src 'unsafe-inline'">
            <title>\(escaped(names))</title>
            <style>\(ReportStyle.css)</style>
            </head>
            <body>
            <header><h1>\(escaped(names))</h1>
            <p>\(isOne ? "a training run" : "\(runs.count) training runs")\(about.map { ", \($0)" } ?? "")</p></header>
            <main>
            \([glance, curves, data, answers, skipped, machines, recipes].compactMap(\.self).joined(separator: "\n"))
            </main>
            <footer>Made by omma report from \(runs.count == 1 ? "the run's" : "the runs'") log.jsonl.</footer>
            <script>\(ReportStyle.script)</script>
            </body>
            </html>

            """
    }

    private func escaped(_ text: String) -> String { HTMLText.escaped(text) }

    private func section(_ title: String, _ body: [String], grid: String = "grid") -> String? {
        body.isEmpty ? nil : "<h2>\(title)</h2>\n<div class=\"\(grid)\">\n\(body.joined(separator: "\n"))\n</div>"
    }

    /// A run's card, with its colour.
    private func card(_ number: Int, _ body: String) -> String {
        let name =
            runs.count == 1
            ? "" : "<h3 class=\"name c\(number % ReportStyle.colors)\">\(escaped(runs[number].name))</h3>"
        return "<div class=\"card\">\(name)\(body)</div>"
    }

    private func list(_ rows: [(name: String, value: String)], _ style: String = "") -> String {
        let items = rows.map { "<div><dt>\(escaped($0.name))</dt><dd>\(escaped($0.value))</dd></div>" }
        return "<dl\(style)>\(items.joined())</dl>"
    }

    private var glance: String? {
        section(
            "At a glance", runs.indices.map { card($0, list(runs[$0].glance)) },
            grid: runs.count == 1 ? "glance" : "grid runs")
    }

    // MARK: - curves

    /// One line for each run.
    private func chart(
        _ title: String, isShare: Bool = false, _ lines: (RunHistory) -> [LogLine], _ value: (LogLine) -> Double?,
        dashed: (name: String, value: (LogLine) -> Double?)? = nil
    ) -> LineChart {
        var chart = LineChart(title: title, series: [], isShare: isShare)
        for (number, run) in runs.enumerated() {
            let name = runs.count == 1 ? "with pictures" : run.name
            chart.series.append(run.series(name, lines(run), color: number, value))
            if let dashed {
                let label = runs.count == 1 ? dashed.name : "\(run.name), \(dashed.name)"
                chart.series.append(run.series(label, lines(run), isDashed: true, color: number, dashed.value))
            }
        }
        if runs.count == 1 { chart.marks = runs[0].boundaries }
        return chart
    }

    private var curves: String? {
        let measure = runs.compactMap { $0.evaluations.last?.measure }.first.map { ", \($0)" } ?? ""
        var charts = [
            chart("Loss", \.steps, \.loss),
            chart("Held-out loss", \.evaluations, \.loss, dashed: ("blind", \.blindLoss)),
            chart(
                "Held-out accuracy\(measure)", isShare: true, \.evaluations, \.accuracy,
                dashed: ("blind", \.blindAccuracy)),
            chart("Learning rate", \.steps, \.learningRate),
        ]
        for run in runs {
            let parts = Set(run.steps.flatMap { $0.gradientNorms?.keys.map(\.self) ?? [] }).sorted()
            var norms = LineChart(
                title: "Norm of the gradients, by part" + (runs.count > 1 ? ": \(run.name)" : ""), series: [],
                isLogarithmic: true, marks: run.boundaries)
            norms.series.append(run.series("all", run.steps, isDashed: true, color: 0, \.gradientNorm))
            for (number, part) in parts.enumerated() {
                norms.series.append(run.series(part, run.steps, color: number + 1) { $0.gradientNorms?[part] })
            }
            charts.append(norms)
        }
        charts += [
            chart("Tokens a second", \.steps, \.tokensPerSecond),
            chart("Model FLOP utilisation", isShare: true, \.steps, \.utilisation),
            chart("Share of rows that is filled", isShare: true, \.steps, \.filled),
            chart("Resident memory, GB", \.steps) { $0.residentBytes.map { Double($0) / 1e9 } },
        ]
        return section("Curves", charts.compactMap(\.html))
    }

    // MARK: - data and answers

    private var data: String? {
        let cards = runs.indices.compactMap { number -> String? in
            let sources = runs[number].sources
            guard !sources.isEmpty else { return nil }
            let tokens = Double(max(1, sources.reduce(0) { $0 + $1.share.tokens }))
            let samples = Double(max(1, sources.reduce(0) { $0 + $1.share.samples }))
            let rows = sources.enumerated().map { index, source in
                let share = Double(source.share.tokens) / tokens
                return """
                    <p><b>\(escaped(source.name))</b> <span class="label">\(Format.percent(share, 0)) of tokens, \
                    \(Format.percent(Double(source.share.samples) / samples, 0)) of samples</span></p>
                    <div class="track"><div class="bar c\(index % ReportStyle.colors)" \
                    style="width:\(Format.decimal(share * 100, 1))%"></div></div>
                    """
            }
            return card(number, "<div class=\"bars\">\(rows.joined())</div>")
        }
        return section("What it learned from", cards)
    }

    private var answers: String? {
        var questions: [HeldOutQuestion] = []
        for line in runs.flatMap({ $0.lines("answer") }) where !questions.contains(HeldOutQuestion(line)) {
            questions.append(HeldOutQuestion(line))
        }
        return section("Held-out questions, and answers over time", questions.map(card))
    }

    /// A question with the answers of all runs that were asked it.
    private func card(_ question: HeldOutQuestion) -> String {
        let pictures = question.pictures.prefix(4).compactMap { name in
            runs.lazy.compactMap { $0.picture(name) }.first.map {
                "<img alt=\"picture of the question\" src=\"data:image/png;base64,\($0.base64EncodedString())\">"
            }
        }
        let answers = runs.indices.compactMap { number -> String? in
            let rows = runs[number].answers(to: question).map { row($0.steps, $0.text, question.truth) }
            guard !rows.isEmpty else { return nil }
            let earlier = rows.dropLast(Self.mostAnswers)
            let more =
                earlier.isEmpty
                ? ""
                : "<details><summary>\(earlier.count) earlier</summary>"
                    + "<table class=\"answers\">\(earlier.joined())</table></details>"
            let name =
                runs.count == 1
                ? ""
                : "<p class=\"name label c\(number % ReportStyle.colors)\">\(escaped(runs[number].name))</p>"
            return "\(name)<table class=\"answers\">\(rows.suffix(Self.mostAnswers).joined())</table>\(more)"
        }
        return """
            <div class="card question\(pictures.isEmpty ? " words" : "")">\
            \(pictures.isEmpty ? "" : "<div>\(pictures.joined())</div>")<div>
            <p><b>\(escaped(question.text))</b></p>
            <p><span class="label">truth</span> \(escaped(question.truth))</p>
            \(answers.joined(separator: "\n"))
            </div></div>
            """
    }

    /// The last ones; the others are folded away.
    private static let mostAnswers = 6

    private func row(_ steps: ClosedRange<Int>, _ answer: String, _ truth: String) -> String {
        let isRight = answer.trimmingCharacters(in: .whitespacesAndNewlines) == truth
        let words = answer.isEmpty ? "<i>nothing</i>" : (isRight ? "✓ " : "") + escaped(answer)
        let range = steps.count == 1 ? "\(steps.lowerBound)" : "\(steps.lowerBound)–\(steps.upperBound)"
        return "<tr><td>\(range)</td><td\(isRight ? " class=\"right\"" : "")>\(words)</td></tr>"
    }

    // MARK: - what went wrong

    private var skipped: String? {
        let cards = runs.indices.compactMap { number -> String? in
            let samples = runs[number].lines("skipped"), steps = runs[number].lines("skippedStep")
            guard !samples.isEmpty || !steps.isEmpty else { return nil }
            var parts: [String] = []
            if !steps.isEmpty {
                let rows = steps.prefix(Self.most).map { line in
                    let loss = line.loss.map { Format.decimal($0, 3) } ?? "?"
                    let norm = line.gradientNorm.map { Format.decimal($0, 3) } ?? "?"
                    return [line.step.map(Format.grouped) ?? "", "loss \(loss), norm \(norm)", line.text ?? ""]
                }
                parts.append(
                    table(
                        "Steps that changed nothing: \(Format.grouped(steps.count))", ["step", "why", "samples"], rows))
            }
            if !samples.isEmpty {
                let reasons = Dictionary(grouping: samples) { $0.reason ?? "" }.mapValues(\.count)
                let counts = reasons.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
                    .map { "\($0.key) \(Format.grouped($0.value))" }.joined(separator: ", ")
                let rows = samples.prefix(Self.most).map { [$0.sample ?? "", $0.reason ?? "", $0.text ?? ""] }
                parts.append(
                    table(
                        "Samples left out: \(Format.grouped(samples.count)) (\(counts))", ["sample", "reason", ""], rows
                    ))
            }
            return card(number, parts.joined())
        }
        return section("Skipped", cards, grid: runs.count == 1 ? "" : "grid")
    }

    /// Rows of a list; the log has all of them.
    private static let most = 50

    private func table(_ title: String, _ heads: [String], _ rows: [[String]]) -> String {
        let body = rows.map { "<tr>\($0.map { "<td>\(escaped($0))</td>" }.joined())</tr>" }
        return """
            <p><b>\(escaped(title))</b></p>
            <details\(rows.count <= 8 ? " open" : "")><summary>\(rows.count == Self.most ? "the first " : "")\
            \(rows.count) in a list</summary>
            <div class="scroll"><table class="list"><tr>\(heads.map { "<th>\($0)</th>" }.joined())</tr>\
            \(body.joined())</table></div></details>
            """
    }

    // MARK: - machine and recipe

    private var machines: String? {
        let cards = runs.indices.compactMap { number -> String? in
            guard let facts = runs[number].facts else { return nil }
            let machine = facts.machine
            return card(
                number,
                list(
                    [
                        ("processor", "\(machine.processor), \(machine.cores) cores"),
                        ("memory", Format.bytes(machine.memory)), ("system", machine.system),
                        ("libtorch", machine.libtorch), ("precision", machine.precision),
                        ("ranks", "\(machine.ranks)"),
                        ("threads", "\(machine.threads) micro-batches of \(machine.operationThreads)"),
                        ("matrix products", "\(Format.decimal(machine.matrixRate / 1e9, 0)) GFLOP/s at most"),
                        ("begun", Self.date(runs[number].lines.first { $0.run != nil }?.run?.time ?? facts.time)),
                        ("resumed", "\(runs[number].lines("resume").count) times"),
                    ], " class=\"facts\""))
        }
        return section("Machine and versions", cards)
    }

    private static func date(_ seconds: Double) -> String {
        Date(timeIntervalSince1970: seconds).formatted(.iso8601)
    }

    private var recipes: String? {
        let first = runs.first?.facts?.recipe
        let cards = runs.indices.compactMap { number -> String? in
            guard let recipe = runs[number].facts?.recipe else { return nil }
            var body = ""
            if number > 0, let first { body += difference(first, recipe) }
            body += "<details><summary>all of it</summary><pre>\(escaped(recipe))</pre></details>"
            return card(number, body)
        }
        return section(runs.count == 1 ? "Recipe" : "Recipes, and what the others have different from the first", cards)
    }

    private func difference(_ old: String, _ new: String) -> String {
        let before = old.split(separator: "\n"), after = new.split(separator: "\n")
        let lines = after.difference(from: before).map { change in
            switch change {
            case .remove(_, let line, _): "<span class=\"minus\">- \(escaped(String(line)))</span>"
            case .insert(_, let line, _): "<span class=\"plus\">+ \(escaped(String(line)))</span>"
            }
        }
        return lines.isEmpty ? "<p class=\"label\">the same</p>" : "<pre>\(lines.joined(separator: "\n"))</pre>"
    }
}
