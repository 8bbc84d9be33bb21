import Data
import Foundation
import Media
import Testing

/// Answers are checked against pixels and against the list of objects, not against the code that wrote them.
@Suite struct SyntheticTruthTests {
    private func generator(
        _ task: SyntheticTask, seed: UInt64 = 21, turns: SyntheticOptions.Turns = .single, difficulty: Double = 0.5,
        chinese: Double = 0
    ) throws -> SyntheticGenerator {
        try SyntheticGenerator(
            SyntheticOptions(
                seed: seed, turns: turns, weights: SyntheticOptions.only(task), chineseShare: chinese,
                difficulty: difficulty))
    }

    /// The name of a pixel's colour by rules of thumb on hue, saturation and value.
    private func colorName(_ image: Image, x: Int, y: Int) -> String {
        let at = (y * image.width + x) * 3
        let (red, green, blue) = (Double(image.pixels[at]), Double(image.pixels[at + 1]), Double(image.pixels[at + 2]))
        let (high, low) = (max(red, green, blue), min(red, green, blue))
        let saturation = high == 0 ? 0 : (high - low) / high
        if high < 60 { return "black" }
        if saturation < 0.2 { return high > 200 ? "white" : "grey" }
        let sector =
            high == red
            ? (green - blue) / (high - low)
            : high == green ? 2 + (blue - red) / (high - low) : 4 + (red - green) / (high - low)
        let hue = (sector * 60 + 360).truncatingRemainder(dividingBy: 360)
        switch hue {
        case ..<12, 348...: return "red"
        case ..<43: return high < 165 ? "brown" : "orange"
        case ..<75: return "yellow"
        case ..<170: return "green"
        case ..<250: return "blue"
        case ..<310: return "purple"
        default: return "pink"
        }
    }

    @Test func objectsHaveTheirColourInsideTheirBoxes() throws {
        let generator = try generator(.describe, difficulty: 0)
        var checked = 0
        for index in 0..<60 {
            let sample = try generator.sample(at: index)
            for object in sample.metadata.objects where object.shape != "ring" {
                // Every shape but the ring covers the middle of its box.
                let center = object.box.center
                #expect(
                    colorName(sample.image, x: Int(center.x), y: Int(center.y)) == object.color,
                    "sample \(index): \(object)")
                checked += 1
            }
        }
        #expect(checked > 150)
    }

    @Test func boxesFitTheirObjectsTightly() throws {
        let generator = try generator(.box, difficulty: 0)
        for index in 0..<60 {
            let sample = try generator.sample(at: index)
            for object in sample.metadata.objects {
                // Pixels of the object's colour in and around its box.
                var (left, top, right, bottom) = (Int.max, Int.max, -1, -1)
                let around = object.box.insetBy(-2.5)
                for y in max(0, Int(around.y))..<min(sample.image.height, Int(around.maxY) + 1) {
                    for x in max(0, Int(around.x))..<min(sample.image.width, Int(around.maxX) + 1)
                    where colorName(sample.image, x: x, y: y) == object.color {
                        (left, top, right, bottom) = (min(left, x), min(top, y), max(right, x + 1), max(bottom, y + 1))
                    }
                }
                let seen = Rectangle(
                    x: Double(left), y: Double(top), width: Double(right - left), height: Double(bottom - top))
                // An outline has another colour, and the tips of stars are too fine to count.
                #expect(seen.intersectionOverUnion(object.box) > 0.65, "sample \(index): \(object), seen \(seen)")
            }
        }
    }

    @Test func countsMatchTheObjects() throws {
        let generator = try generator(.count)
        let plurals = ["objects", "shapes"]
        for index in 0..<150 {
            let sample = try generator.sample(at: index)
            let turn = sample.turns[0]
            let words = Set(turn.question.lowercased().split { !$0.isLetter }.map(String.init))
            let matching = sample.metadata.objects.filter { object in
                let colors = Set([
                    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white",
                ])
                let asked = words.intersection(colors)
                let shapes = words.filter { word in
                    !plurals.contains(word)
                        && ["circles", "squares", "triangles", "stars", "diamonds", "crosses", "hearts", "rings"]
                            .contains(word)
                }
                let shape = object.shape.map { $0 == "cross" ? "crosses" : $0 + "s" }
                return (asked.isEmpty || asked.contains(object.color ?? ""))
                    && (shapes.isEmpty || shapes.contains(shape ?? ""))
            }
            #expect(turn.answer == String(matching.count), "\(turn)")
        }
    }

    @Test func relationsMatchTheBoxes() throws {
        let generator = try generator(.relation)
        var checked = 0
        for index in 0..<200 {
            let sample = try generator.sample(at: index)
            let turn = sample.turns[0]
            guard turn.question.hasPrefix("Is the ") else { continue }
            let named = sample.metadata.objects
                .compactMap { object in turn.question.range(of: object.label).map { ($0.lowerBound, object.box.center) }
                }
                .sorted { $0.0 < $1.0 }
            try #require(named.count == 2)
            let (first, second) = (named[0].1, named[1].1)
            let truth =
                turn.question.contains("left")
                ? first.x < second.x
                : turn.question.contains("right")
                    ? first.x > second.x
                    : turn.question.contains("above") || turn.question.contains("higher")
                        ? first.y < second.y
                        : first.y > second.y
            #expect(turn.answer == (truth ? "yes" : "no"), "\(turn)")
            checked += 1
        }
        #expect(checked > 60)
    }

    @Test func barsReachTheirValues() throws {
        let generator = try generator(.chart, turns: .several, difficulty: 0)
        for index in 0..<80 {
            let sample = try generator.sample(at: index)
            let bars = sample.metadata.objects
            // One linear scale fits all bars of a chart.
            let ratios = bars.compactMap { bar in bar.value.map { bar.box.height / Double($0) } }
            let (low, high) = (ratios.min() ?? 0, ratios.max() ?? 1)
            #expect(ratios.count == bars.count && high - low < 1e-6 * high)
            #expect(Set(bars.map(\.label)).count == bars.count && Set(bars.compactMap(\.value)).count == bars.count)
            for bar in bars {
                let y = Int(bar.box.maxY - min(4, bar.box.height / 2))
                #expect(colorName(sample.image, x: Int(bar.box.center.x), y: y) == bar.color, "sample \(index): \(bar)")
            }
        }
    }

    @Test func answersAreBalanced() throws {
        func answers(_ task: SyntheticTask, _ count: Int) throws -> [String: Int] {
            let generator = try generator(task, seed: 77)
            return try (0..<count).reduce(into: [:]) {
                $0[try generator.sample(at: $1).turns[0].answer, default: 0] += 1
            }
        }
        let counts = try answers(.count, 500)
        #expect(counts.count == 10)
        for (answer, times) in counts { #expect((25...85).contains(times), "\(answer): \(times) of 500") }
        let colors = try answers(.color, 500)
        #expect(colors.count == 10)
        for (answer, times) in colors { #expect((25...85).contains(times), "\(answer): \(times) of 500") }
        let shapes = try answers(.shape, 400)
        #expect(shapes.count == 8)
        for (answer, times) in shapes { #expect((25...85).contains(times), "\(answer): \(times) of 400") }
        let relations = try answers(.relation, 400)
        let (yes, no) = (relations["yes"] ?? 0, relations["no"] ?? 0)
        #expect(abs(yes - no) < 50 && yes > 60)
    }

    @Test func chineseQuestionsGetChineseAnswers() throws {
        func chinese(_ text: String) -> Bool { text.unicodeScalars.contains { (0x4E00...0x9FFF).contains($0.value) } }
        for task in [SyntheticTask.color, .shape, .relation, .box, .describe] {
            let generator = try generator(task, chinese: 1)
            for index in 0..<20 {
                let turn = try generator.sample(at: index).turns[0]
                #expect(chinese(turn.question) && chinese(turn.answer), "\(turn)")
            }
        }
    }

    @Test func textStaysWithinItsAlphabet() throws {
        let generator = try generator(.text, turns: .several)
        let signs = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:/$%# ")
        for index in 0..<200 {
            for line in try generator.sample(at: index).metadata.objects {
                #expect((3...12).contains(line.label.count) && line.label.allSatisfy(signs.contains), "\(line)")
            }
        }
    }
}
