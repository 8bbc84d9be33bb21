import Media

/// Reading bar charts.
struct ChartTask {
    let options: SyntheticOptions
    let language: SyntheticLanguage

    private struct Bar {
        let label: String
        let value: Int
        let color: NamedColor
        var box = Rectangle(x: 0, y: 0, width: 0, height: 0)
    }

    /// An axis: values are multiples of `unit`, gridlines stand every `step`.
    private struct Scale {
        let top: Int
        let step: Int
        let unit: Int
        var units: Int { top / unit }
    }

    private static let scales = [
        Scale(top: 10, step: 2, unit: 1), Scale(top: 10, step: 5, unit: 1), Scale(top: 20, step: 5, unit: 1),
        Scale(top: 50, step: 10, unit: 5), Scale(top: 100, step: 20, unit: 10), Scale(top: 100, step: 50, unit: 10),
        Scale(top: 100, step: 20, unit: 5), Scale(top: 5, step: 1, unit: 1), Scale(top: 8, step: 2, unit: 1),
    ]

    func sample(using generator: inout SeededGenerator) throws -> Drawn? {
        let side = max(options.sides.lowerBound, min(options.sides.upperBound, 168))...options.sides.upperBound
        let (width, height) = (generator.integer(side), generator.integer(side))
        let backdrop = Backdrop(difficulty: options.difficulty * 0.6, using: &generator)
        let family = Typefaces.family(options.split, using: &generator)
        let size = Typefaces.size(generator.uniform(13...16))
        let font = Font(family, size: size, weight: generator.chance(0.3) ? 700 : 400)
        let ink = backdrop.luma > 0.5 ? Color(0.1, 0.1, 0.1) : Color(0.93, 0.93, 0.93)

        // The plot's frame, then an axis whose units are at least 7 pixels high in it.
        let bottom = Double(height) - font.size * 1.25 - 5
        let top = generator.uniform(8...14) + font.size * 0.3
        let scales = Self.scales.filter { (bottom - top) / Double($0.units) >= 7 }
        guard !scales.isEmpty else { return nil }
        let scale = generator.element(of: scales)
        let ticks = try stride(from: 0, through: scale.top, by: scale.step).map { value in
            (value: value, line: try TextLine(String(value), font: font))
        }
        let left = (ticks.map(\.line.extents.ink.width).max() ?? 0) + 9
        let right = Double(width) - generator.uniform(4...10)
        func y(_ value: Int) -> Double { bottom - (bottom - top) * Double(value) / Double(scale.top) }

        let colors = generator.shuffled(backdrop.visibleColors)
        guard !colors.isEmpty else { return nil }
        let values = generator.shuffled(Array(1...scale.units)).prefix(
            generator.integer(2...min(6, max(2, options.maxObjects), scale.units)))
        let slot = (right - left) / Double(values.count)
        guard let labels = try labels(values.count, font: font, slot: slot, using: &generator) else { return nil }
        let varied = generator.chance(0.5)
        var bars = zip(labels, values).enumerated().map { index, pair in
            Bar(
                label: pair.0.text, value: pair.1 * scale.unit, color: colors[varied ? index % colors.count : 0])
        }

        let canvas = try Canvas(width: width, height: height)
        backdrop.paint(on: canvas, using: &generator)
        if generator.chance(0.5) { backdrop.clutter(on: canvas, using: &generator) }
        let gridded = generator.chance(0.8)
        var captions: [SyntheticObject] = []
        func write(_ line: TextLine, at start: Point, value: Int? = nil) {
            canvas.draw(line, at: start, .color(ink))
            captions.append(
                SyntheticObject(
                    label: line.text, box: line.extents.ink.offsetBy(x: start.x, y: start.y), value: value,
                    characters: line.characters.map { $0.offsetBy(x: start.x, y: start.y) }))
        }
        for tick in ticks {
            let at = y(tick.value)
            if gridded || tick.value == 0 {
                let line = Path.segment(Point(left, at), Point(right, at))
                canvas.stroke(line, .color(ink.withAlpha(tick.value == 0 ? 1 : 0.35)), lineWidth: 1)
            } else {
                canvas.stroke(.segment(Point(left - 3, at), Point(left, at)), .color(ink), lineWidth: 1)
            }
            let extents = tick.line.extents.ink
            let corner = Point(left - 5 - extents.maxX, at - extents.center.y)
            write(tick.line, at: corner)
        }
        canvas.stroke(.segment(Point(left, top - 4), Point(left, bottom)), .color(ink), lineWidth: 1)
        let thickness = slot * generator.uniform(0.5...0.8)
        for index in bars.indices {
            let middle = left + slot * (Double(index) + 0.5)
            let at = y(bars[index].value)
            bars[index].box = Rectangle(x: middle - thickness / 2, y: at, width: thickness, height: bottom - at)
            canvas.fill(.rectangle(bars[index].box), .color(bars[index].color.shade(using: &generator)))
            let extents = labels[index].extents.ink
            let baseline = Point(middle - extents.center.x, bottom + 4 + font.size * 0.75)
            write(labels[index], at: baseline, value: bars[index].value)
        }
        canvas.stroke(.segment(Point(left, bottom), Point(right, bottom)), .color(ink), lineWidth: 1)

        let turns = turns(bars, ticks: ticks.count, using: &generator)
        let image = try backdrop.finish(canvas, using: &generator)
        let objects = bars.map {
            SyntheticObject(label: $0.label, box: $0.box, color: $0.color.rawValue, value: $0.value)
        }
        return Drawn(image: image, turns: turns, objects: objects, captions: captions, font: family)
    }

    /// Labels from one list that fit under their bars; letters where words are too wide.
    private func labels(_ count: Int, font: Font, slot: Double, using generator: inout SeededGenerator) throws
        -> [TextLine]?
    {
        for list in [generator.element(of: WordBank.labels), WordBank.labels[0]] {
            let chosen = generator.shuffled(list).prefix(count)
            let lines = try chosen.map { try TextLine($0, font: font) }
            if lines.allSatisfy({ $0.extents.ink.width <= slot - 4 }) { return lines }
        }
        return nil
    }

    /// - Parameter ticks: numbers of the axis, which come before the labels of bars among the captions.
    private func turns(_ bars: [Bar], ticks: Int, using generator: inout SeededGenerator) -> [SyntheticTurn] {
        /// A bar and its label.
        func places(_ index: Int) -> [Int] { [index, bars.count + ticks + index] }
        func turn(
            _ phrases: Phrases, _ names: [String] = [], answer: String, about: [Bar] = [], lists: [[Int]] = []
        ) -> SyntheticTurn {
            let things = about.map { bar in bars.indices.filter { bars[$0].label == bar.label }.flatMap(places) }
            return SyntheticTurn(
                task: .chart, question: phrases.ask(language, names, using: &generator), answer: answer,
                places: AnswerPlaces(things: things, names: names, lists: lists))
        }
        // Values never repeat, so both ends are clear.
        let ranked = bars.sorted { $0.value < $1.value }
        func compared() -> SyntheticTurn {
            let pair = generator.shuffled(bars).prefix(2).sorted { $0.value < $1.value }
            let yes = generator.chance(0.5)
            let named = yes ? [pair[1], pair[0]] : [pair[0], pair[1]]
            return turn(.higher, named.map(\.label), answer: Phrases.yesNo(yes, language), about: named)
        }
        func asked(_ kind: Int, _ bar: Bar) -> SyntheticTurn {
            switch kind {
            case 0: turn(.value, [bar.label], answer: String(bar.value), about: [bar])
            case 1: turn(.highest, answer: ranked[ranked.count - 1].label, about: [ranked[ranked.count - 1]])
            case 2: turn(.lowest, answer: ranked[0].label, about: [ranked[0]])
            case 3: compared()
            default: turn(.bars, answer: String(bars.count))
            }
        }
        let weights = [5, 1.5, 1.2, 1.5, 0.8]
        let order = generator.shuffled(bars)
        if options.turns == .single { return [asked(generator.index(weights: weights), order[0])] }
        // Three values and two comparisons where five questions are wanted.
        let wanted = generator.integer(options.questions)
        var turns = order.prefix(max(1, wanted * 3 / 5)).map { asked(0, $0) }
        let others = max(1, wanted - turns.count)
        turns += generator.shuffled([1, 2, 4]).prefix(others / 2).map { asked($0, order[0]) }
        // Which of two is higher is asked of several pairs: one bit each, it is the slowest to learn.
        for _ in 0..<others - others / 2 {
            let turn = compared()
            if !turns.contains(where: { $0.places == turn.places }) { turns.append(turn) }
        }
        turns = generator.shuffled(turns)
        // A list goes from bar to bar. It teaches nothing of how one is found by its label, and is most of what is answered.
        if turns.count < 3 || generator.chance(0.15) {
            turns.append(
                turn(
                    .chartList,
                    answer: bars.map { "\($0.label): \($0.value)" }.joined(separator: AnswerPlaces.listSeparator),
                    lists: bars.indices.map(places)))
        }
        return turns
    }
}
