import Foundation
import Media

/// Telling the hour from the hands of a clock. No model of this repository is trained on it: it is there to be learned
/// from a file, as a user's own task is.
struct ClockTask {
    let options: SyntheticOptions
    let language: SyntheticLanguage

    func sample(using generator: inout SeededGenerator) throws -> Drawn? {
        let (width, height) = (generator.integer(options.sides), generator.integer(options.sides))
        let hour = generator.integer(1...12)
        let backdrop = Backdrop(difficulty: options.difficulty, using: &generator)
        let canvas = try Canvas(width: width, height: height)
        backdrop.paint(on: canvas, using: &generator)
        backdrop.clutter(on: canvas, using: &generator)

        let radius = Double(min(width, height)) * generator.uniform(0.32...0.46)
        let center = Point(
            generator.uniform(radius + 2...Double(width) - radius - 2),
            generator.uniform(radius + 2...Double(height) - radius - 2))
        let isLight = generator.chance(0.6)
        let face = Color(
            hue: generator.uniform(), saturation: generator.uniform(0...0.25),
            value: isLight ? generator.uniform(0.88...1) : generator.uniform(0.08...0.25))
        let ink = isLight ? Color(0.08, 0.08, 0.08) : Color(0.95, 0.95, 0.95)
        canvas.fill(.circle(center, radius: radius), .color(face))
        canvas.stroke(.circle(center, radius: radius), .color(ink), lineWidth: radius * generator.uniform(0.03...0.08))

        /// A point at a part of the radius, in the direction of an hour.
        func point(_ hour: Double, _ part: Double) -> Point {
            let angle = hour / 12 * 2 * Double.pi
            return Point(center.x + sin(angle) * radius * part, center.y - cos(angle) * radius * part)
        }
        let marks = generator.element(of: [12, 4])
        for mark in 0..<marks {
            let at = Double(mark) * 12 / Double(marks)
            canvas.stroke(
                .segment(point(at, 0.82), point(at, 0.93)), .color(ink), lineWidth: radius * 0.04)
        }
        canvas.stroke(.segment(center, point(0, 0.78)), .color(ink), lineWidth: radius * generator.uniform(0.04...0.06))
        let hand = generator.element(of: [Paint.color(ink), .color(Color(0.85, 0.1, 0.1))])
        canvas.stroke(
            .segment(center, point(Double(hour), generator.uniform(0.45...0.56))), hand,
            lineWidth: radius * generator.uniform(0.1...0.15))
        canvas.fill(.circle(center, radius: radius * 0.08), .color(ink))

        let box = Rectangle(x: center.x - radius, y: center.y - radius, width: 2 * radius, height: 2 * radius)
        let turn = SyntheticTurn(
            task: .clock, question: Phrases.clock.ask(language, using: &generator), answer: String(hour))
        return Drawn(
            image: try backdrop.finish(canvas, using: &generator), turns: [turn],
            objects: [SyntheticObject(label: language == .english ? "clock" : "时钟", box: box, value: hour)], font: nil)
    }
}
