import Foundation
import Terminal

/// Curves over steps, as a figure of HTML: lines in SVG that stretch with the page, numbers as text that does not.
struct LineChart {
    struct Series {
        var label: String
        /// The number of its colour.
        var color = 0
        var isDashed = false
        var points: [(x: Double, y: Double)]
    }

    var title: String
    var series: [Series]
    var isLogarithmic = false
    /// Shows values as percentages.
    var isShare = false
    /// Where something begins, with its name.
    var marks: [(step: Double, stage: String)] = []

    /// More than that nobody sees, and the page should stay small.
    private static let mostPoints = 400
    /// With so many points a smooth line is drawn over them.
    private static let manyPoints = 40

    /// Nil where there is nothing to show.
    var html: String? {
        let series = self.series.map(cleaned).filter { !$0.points.isEmpty }
        guard let frame = Frame(series.flatMap(\.points), isLogarithmic: isLogarithmic) else { return nil }
        var shapes = frame.yTicks.map {
            "<line class=\"rule\" x1=\"0\" x2=\"1000\" y1=\"\(frame.top($0, 1000))\" y2=\"\(frame.top($0, 1000))\"/>"
        }
        for mark in marks where mark.step > frame.xs.lowerBound && mark.step < frame.xs.upperBound {
            let x = frame.left(mark.step, 1000)
            shapes.append("<line class=\"mark\" x1=\"\(x)\" x2=\"\(x)\" y1=\"0\" y2=\"1000\"/>")
        }
        for line in series {
            let style = "class=\"c\(line.color % ReportStyle.colors)\(line.isDashed ? " dashed" : "")"
            if line.points.count > Self.manyPoints {
                shapes.append("<polyline \(style) faint\" points=\"\(frame.path(line.points))\"/>")
                shapes.append("<polyline \(style)\" points=\"\(frame.path(Self.smoothed(line.points)))\"/>")
            } else {
                shapes.append("<polyline \(style)\" points=\"\(frame.path(line.points))\"/>")
            }
        }
        // A line of one point has no length.
        let dots = series.filter { $0.points.count <= 12 }.flatMap { line in
            line.points.map { point in
                "<i class=\"dot c\(line.color % ReportStyle.colors)\" style=\"left:\(frame.left(point.x, 100))%;"
                    + "top:\(frame.top(point.y, 100))%\"></i>"
            }
        }
        let ys = frame.yTicks.map {
            "<span class=\"y\" style=\"top:\(frame.top($0, 100))%\">\(text($0, step: frame.yStep))</span>"
        }
        let xs = frame.xTicks.map {
            "<span class=\"x\" style=\"left:\(frame.left($0, 100))%\">\(Format.count(Int($0)))</span>"
        }
        let names = marks.filter { frame.xs.contains($0.step) }.map {
            "<span class=\"stage\" style=\"left:\(frame.left($0.step, 100))%\">\(HTMLText.escaped($0.stage))</span>"
        }
        let legend = series.map {
            "<li class=\"c\($0.color % ReportStyle.colors)\($0.isDashed ? " dashed" : "")\">"
                + "\(HTMLText.escaped($0.label))</li>"
        }
        let label = HTMLText.escaped(title)
        return """
            <figure class="chart">
            <figcaption>\(label)\(isLogarithmic ? " <small>logarithmic</small>" : "")</figcaption>
            <div class="plot"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="\(label)">
            \(shapes.joined(separator: "\n"))
            </svg>\((ys + xs + names + dots).joined())<div class="hair" hidden></div><div class="tip" hidden></div></div>
            <ul class="legend">\(series.count > 1 || series.contains { $0.isDashed } ? legend.joined() : "")</ul>
            <script type="application/json">\(data(series, over: frame.xs))</script>
            </figure>
            """
    }

    /// A tick or value in words.
    ///
    /// - Parameter step: from it to the next one, where there is one: they must not look the same.
    private func text(_ value: Double, step: Double? = nil) -> String {
        if isShare { return Format.percent(value, step.map { $0 < 0.0095 ? $0 < 0.00095 ? 2 : 1 : 0 } ?? 1) }
        let size = abs(value)
        if size >= 1000 { return Format.count(Int(value)) }
        if size >= 10 || value == 0 { return Self.trimmed(Format.decimal(value, 1)) }
        if size >= 0.01 { return Self.trimmed(Format.decimal(value, 3)) }
        let exponent = Int(log10(size).rounded(.down))
        return "\(Self.trimmed(Format.decimal(value / pow(10, Double(exponent)), 2)))e\(exponent)"
    }

    private static func trimmed(_ text: String) -> String {
        guard text.contains(".") else { return text }
        var text = text
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    /// Without what has no place in the picture, and not more than can be seen.
    private func cleaned(_ line: Series) -> Series {
        var line = line
        line.points = line.points.filter { $0.x.isFinite && $0.y.isFinite && (!isLogarithmic || $0.y > 0) }
        guard line.points.count > Self.mostPoints else { return line }
        let points = line.points
        line.points = (0..<Self.mostPoints).map { bucket in
            let part = points[bucket * points.count / Self.mostPoints..<(bucket + 1) * points.count / Self.mostPoints]
            let count = Double(part.count)
            return (part.reduce(0) { $0 + $1.x } / count, part.reduce(0) { $0 + $1.y } / count)
        }
        return line
    }

    /// A mean that forgets, over about a twentieth of the points.
    private static func smoothed(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        let keep = 1 - 20 / Double(max(40, points.count))
        var mean = 0.0, weight = 0.0
        return points.map { point in
            mean = keep * mean + (1 - keep) * point.y
            weight = keep * weight + (1 - keep)
            return (point.x, mean / weight)
        }
    }

    /// What the page's script shows under the pointer.
    private func data(_ series: [Series], over xs: ClosedRange<Double>) -> String {
        struct Line: Encodable {
            var label: String
            var x: [Double]
            var y: [String]
        }
        struct Chart: Encodable {
            var from: Double
            var to: Double
            var lines: [Line]
        }
        let chart = Chart(
            from: xs.lowerBound, to: xs.upperBound,
            lines: series.map { line in
                Line(
                    label: line.label, x: line.points.map { $0.x.rounded() },
                    y: line.points.map { text($0.y) })
            })
        let json = (try? JSONEncoder().encode(chart)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
        // Nothing in it may end the element.
        return json.replacing("<", with: "\\u003c")
    }
}

extension LineChart {
    /// What the axes show.
    struct Frame {
        var xs: ClosedRange<Double>
        private var ys: ClosedRange<Double>
        private let isLogarithmic: Bool

        init?(_ points: [(x: Double, y: Double)], isLogarithmic: Bool) {
            guard let first = points.first else { return nil }
            self.isLogarithmic = isLogarithmic
            func scaled(_ y: Double) -> Double { isLogarithmic ? log10(y) : y }
            xs = points.reduce(first.x...first.x) {
                min($0.lowerBound, $1.x)...max($0.upperBound, $1.x)
            }
            ys = points.reduce(scaled(first.y)...scaled(first.y)) {
                min($0.lowerBound, scaled($1.y))...max($0.upperBound, scaled($1.y))
            }
            if xs.lowerBound == xs.upperBound { xs = xs.lowerBound - 1...xs.upperBound + 1 }
            let size = ys.upperBound - ys.lowerBound
            let margin = size > 0 ? size * 0.06 : max(abs(ys.lowerBound) * 0.1, isLogarithmic ? 0.5 : 1e-9)
            // What is never negative does not look as if it were.
            let low = ys.lowerBound - margin
            ys = (!isLogarithmic && ys.lowerBound >= 0 ? max(0, low) : low)...ys.upperBound + margin
        }

        func left(_ x: Double, _ size: Double) -> String {
            Self.short((x - xs.lowerBound) / (xs.upperBound - xs.lowerBound) * size)
        }

        func top(_ y: Double, _ size: Double) -> String {
            let y = isLogarithmic ? log10(y) : y
            return Self.short((ys.upperBound - y) / (ys.upperBound - ys.lowerBound) * size)
        }

        func path(_ points: [(x: Double, y: Double)]) -> String {
            points.map { "\(left($0.x, 1000)),\(top($0.y, 1000))" }.joined(separator: " ")
        }

        private static func short(_ value: Double) -> String { Format.decimal(value, 1) }

        /// Between two neighbours of `yTicks`.
        var yStep: Double? {
            let ticks = yTicks
            return ticks.count > 1 ? ticks[1] - ticks[0] : nil
        }
        var xTicks: [Double] { Self.ticks(xs, about: 5).filter { $0 == $0.rounded() } }
        var yTicks: [Double] {
            guard isLogarithmic else { return Self.ticks(ys, about: 4) }
            let whole =
                (Int(
                    ys.lowerBound.rounded(.up))...max(
                        Int(ys.lowerBound.rounded(.up)), Int(ys.upperBound.rounded(.down))))
            let powers = whole.map { pow(10, Double($0)) }.filter { ys.contains(log10($0)) }
            let step = max(1, (powers.count + 4) / 5)
            if powers.count >= 3 { return powers.enumerated().filter { $0.offset % step == 0 }.map(\.element) }
            // Less than two powers of ten: the 2 and the 5 between them, too.
            return (Int(ys.lowerBound.rounded(.down))...Int(ys.upperBound.rounded(.up))).flatMap { power in
                [1, 2, 5].map { $0 * pow(10, Double(power)) }
            }.filter { ys.contains(log10($0)) }
        }

        /// Round numbers in a range.
        private static func ticks(_ range: ClosedRange<Double>, about count: Int) -> [Double] {
            let size = range.upperBound - range.lowerBound
            guard size > 0, size.isFinite else { return [range.lowerBound] }
            let rough = size / Double(count), power = pow(10, log10(rough).rounded(.down))
            let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
            let first = (range.lowerBound / step).rounded(.up), last = (range.upperBound / step).rounded(.down)
            guard last >= first else { return [] }
            return stride(from: first, through: last, by: 1).map { $0 * step }
        }
    }
}
