import Media
import Models

/// Reading lines of text.
struct TextTask {
    let options: SyntheticOptions
    let language: SyntheticLanguage

    /// A line as drawn.
    private struct Written {
        let text: String
        let color: NamedColor
        let box: Rectangle
        let characters: [Rectangle]
    }

    func sample(using generator: inout SeededGenerator) throws -> Drawn? {
        let backdrop = Backdrop(difficulty: options.difficulty, using: &generator)
        let inks = generator.shuffled(
            NamedColor.allCases.filter { abs($0.typical.luma - backdrop.luma) > 0.3 && backdrop.shows($0) })
        let count =
            options.turns == .single
            ? (generator.chance(0.75) ? 1 : generator.integer(2...3))
            : generator.index(weights: [0, 3, 4, 3])
        guard !inks.isEmpty else { return nil }
        let family = Typefaces.family(options.split, using: &generator)
        let width = generator.integer(
            max(options.sides.lowerBound, options.sides.upperBound * 5 / 9)...options.sides.upperBound)

        // Lines first, then a picture that is just high enough for them.
        var lines: [TextLine] = []
        for _ in 0..<count {
            guard let line = try line(in: family, width: width, lines: count, using: &generator),
                !lines.contains(where: { $0.text == line.text })
            else { return nil }
            lines.append(line)
        }
        let gaps = lines.map { _ in generator.uniform(5...16) }
        let inkHeight = lines.reduce(0) { $0 + $1.extents.ink.height } + gaps.reduce(0, +)
        let shortest = Int(inkHeight) + 12
        guard shortest <= options.sides.upperBound else { return nil }
        let lowest = max(shortest, options.sides.lowerBound / 2)
        let height = generator.integer(lowest...max(lowest, min(options.sides.upperBound, shortest + 50)))

        let canvas = try Canvas(width: width, height: height)
        backdrop.paint(on: canvas, using: &generator)
        backdrop.clutter(on: canvas, using: &generator)
        var top = generator.uniform(4...max(4, Double(height) - inkHeight - 4))
        let tilted = count == 1 && generator.chance(0.4 * options.difficulty)
        var written: [Written] = []
        for (index, line) in lines.enumerated() {
            let ink = line.extents.ink
            let left = generator.uniform(4...max(4, Double(width) - ink.width - 4))
            let color = inks[index % inks.count]
            let box = ink.offsetBy(x: left - ink.x, y: top - ink.y)
            let paint = Paint.color(color.shade(using: &generator))
            let baseline = Point(left - ink.x, top - ink.y)
            // So little that the box still fits the line.
            let tilt = tilted ? generator.uniform(-1...1) * min(0.05, 3 / ink.width) : 0
            canvas.rotated(by: tilt, about: box.center) { canvas.draw(line, at: baseline, paint) }
            let characters = line.characters.map { $0.offsetBy(x: baseline.x, y: baseline.y) }
            written.append(Written(text: line.text, color: color, box: box, characters: characters))
            top += ink.height + gaps[index]
        }
        let turns = turns(written, canvas, using: &generator)
        let image = try backdrop.finish(canvas, using: &generator)
        let objects = written.map {
            SyntheticObject(label: $0.text, box: $0.box, color: $0.color.rawValue, characters: $0.characters)
        }
        return Drawn(image: image, turns: turns, objects: objects, font: family)
    }

    /// A line with letters 14 to 28 pixels high that fits the picture's width.
    private func line(in family: String, width: Int, lines: Int, using generator: inout SeededGenerator) throws
        -> TextLine?
    {
        let tallest = lines == 1 ? 28.0 : 22
        let capitals = 14 + (tallest - 14) * generator.uniform() * generator.uniform()
        var size = Typefaces.size(capitals / Typefaces.capitalHeight)
        let bold = generator.chance(0.35)
        let italic = generator.chance(0.15)
        // An average character is about 0.6 em wide.
        var longest = max(3, min(12, Int(Double(width - 8) / (size * 0.58))))
        for _ in 0..<8 {
            let text = WordBank.line(longest: longest, using: &generator)
            let font = Font(family, size: size, weight: bold ? 700 : 400, italic: italic)
            let line = try TextLine(text, font: font)
            if line.extents.ink.width <= Double(width - 8) { return line }
            longest = max(3, longest - 1)
            size = Typefaces.size(max(14 / Typefaces.capitalHeight, size * 0.93))
        }
        return nil
    }

    private func turns(_ lines: [Written], _ canvas: Canvas, using generator: inout SeededGenerator) -> [SyntheticTurn]
    {
        func grounding(_ line: Written) -> String {
            GroundingBox(line.box, width: canvas.width, height: canvas.height).marked(line.text)
        }
        func turn(
            _ task: SyntheticTask, _ phrases: Phrases, _ names: [String] = [], answer: String, about: [Int] = [],
            reads: [Int] = [], lists: [[Int]] = []
        ) -> SyntheticTurn {
            SyntheticTurn(
                task: task, question: phrases.ask(language, names, using: &generator), answer: answer,
                places: AnswerPlaces(things: about.isEmpty ? [] : [about], reads: reads, lists: lists))
        }
        func reading(_ index: Int) -> SyntheticTurn {
            let line = lines[index]
            if lines.count == 1 { return turn(.text, .read, answer: line.text, reads: [index]) }
            let unclear = lines.count { $0.color == line.color } > 1
            switch generator.integer(0...(unclear ? 1 : 2)) {
            case 0 where index == 0: return turn(.text, .readTop, answer: line.text, reads: [index])
            case 0 where index == lines.count - 1: return turn(.text, .readBottom, answer: line.text, reads: [index])
            case 2:
                return turn(.text, .readColor, [line.color.name(language)], answer: line.text, reads: [index])
            default: return turn(.text, .readLine, [String(index + 1)], answer: line.text, reads: [index])
            }
        }
        let order = generator.shuffled(Array(lines.indices))
        if options.turns == .single { return [reading(order[0])] }

        // Reading comes before anything that would give the text away.
        var turns: [SyntheticTurn] = []
        if lines.count > 1, generator.chance(0.4) {
            turns.append(
                turn(
                    .text, .readAll, answer: lines.map(\.text).joined(separator: "\n"), reads: Array(lines.indices)))
        } else {
            turns += order.map(reading)
        }
        if generator.chance(0.25) { turns.append(turn(.count, .textLines, answer: String(lines.count))) }
        let place = generator.element(of: order), line = lines[place]
        turns.append(turn(.box, .textBox, [line.text], answer: grounding(line), about: [place]))
        if generator.chance(0.5) {
            let place = generator.element(of: order), line = lines[place]
            turns.append(turn(.color, .textColor, [line.text], answer: line.color.name(language), about: [place]))
        }
        if turns.count < 3 || generator.chance(0.3) {
            turns.append(
                turn(
                    .describe, .textList, answer: lines.map(grounding).joined(separator: AnswerPlaces.listSeparator),
                    lists: lines.indices.map { [$0] }))
        }
        return turns
    }
}
