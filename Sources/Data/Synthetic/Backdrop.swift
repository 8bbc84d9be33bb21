import Media

/// What lies behind and over the objects: the ground, clutter, noise and JPEG artefacts.
struct Backdrop {
    /// The two ends of the ground's gradient; equal when it is plain.
    let ground: (Color, Color)
    let difficulty: Double

    /// A quiet ground, light twice as often as dark.
    init(difficulty: Double, using generator: inout SeededGenerator) {
        let light = generator.chance(0.68)
        let value = light ? generator.uniform(0.82...1) : generator.uniform(0.1...0.3)
        let saturation = generator.uniform(0...0.12)
        let first = Color(hue: generator.uniform(), saturation: saturation, value: value)
        var second = first
        if generator.chance(0.3 + 0.5 * difficulty) {
            let drift = generator.uniform(0.04...0.14)
            second = Color(
                hue: generator.uniform(), saturation: generator.uniform(0...0.12),
                value: max(0.08, min(1, value + (light ? -drift : drift))))
        }
        self.ground = (first, second)
        self.difficulty = difficulty
    }

    /// The named colours that stand out from the ground.
    var visibleColors: [NamedColor] { NamedColor.allCases.filter { shows($0) } }

    func shows(_ color: NamedColor) -> Bool {
        // Without a hue only brightness tells an object from the ground.
        if color == .black || color == .white { return abs(color.typical.luma - luma) > 0.4 }
        return contrast(of: color.typical) > 0.32
    }

    /// A ground from which `color` stands out.
    init(difficulty: Double, showing color: NamedColor, using generator: inout SeededGenerator) {
        self.init(difficulty: difficulty, using: &generator)
        // Every colour shows on a good part of all grounds, so this ends soon.
        while !shows(color) { self.init(difficulty: difficulty, using: &generator) }
    }

    /// Distance of a colour from the nearer end of the ground.
    func contrast(of color: Color) -> Double { min(color.distance(to: ground.0), color.distance(to: ground.1)) }

    var luma: Double { (ground.0.luma + ground.1.luma) / 2 }

    func paint(on canvas: Canvas, using generator: inout SeededGenerator) {
        let (width, height) = (Double(canvas.width), Double(canvas.height))
        if ground.0 == ground.1 {
            canvas.fill(.color(ground.0))
        } else if generator.chance(0.75) {
            let corners = [Point(0, 0), Point(width, 0), Point(width, height), Point(0, height), Point(width / 2, 0)]
            let from = generator.element(of: corners)
            canvas.fill(.linear(from: from, to: Point(width - from.x, height - from.y), [ground.0, ground.1]))
        } else {
            let center = Point(generator.uniform(0...width), generator.uniform(0...height))
            canvas.fill(.radial(center: center, radius: max(width, height), [ground.0, ground.1]))
        }
    }

    /// Thin lines, curves, dots and grids, faint and far smaller than objects.
    func clutter(on canvas: Canvas, using generator: inout SeededGenerator) {
        let (width, height) = (Double(canvas.width), Double(canvas.height))
        let most = Int((difficulty * 12).rounded())
        if generator.chance(0.25 * difficulty) { grid(on: canvas, using: &generator) }
        guard most > 0 else { return }
        func place(_ generator: inout SeededGenerator) -> Point {
            Point(generator.uniform(-10...width + 10), generator.uniform(-10...height + 10))
        }
        for _ in 0..<generator.integer(0...most) {
            let paint = Paint.color(faint(using: &generator))
            switch generator.integer(0...3) {
            case 0:
                canvas.stroke(
                    .segment(place(&generator), place(&generator)), paint, lineWidth: generator.uniform(0.6...1.6))
            case 1:
                var path = Path()
                let start = place(&generator)
                path.move(start.x, start.y)
                path.curve(place(&generator), place(&generator), to: place(&generator))
                canvas.stroke(path, paint, lineWidth: generator.uniform(0.6...1.6))
            case 2: canvas.fill(.circle(place(&generator), radius: generator.uniform(0.7...2)), paint)
            default:
                let start = place(&generator)
                let end = Point(start.x + generator.uniform(-9...9), start.y + generator.uniform(-9...9))
                canvas.stroke(.segment(start, end), paint, lineWidth: generator.uniform(0.8...1.8))
            }
        }
    }

    private func grid(on canvas: Canvas, using generator: inout SeededGenerator) {
        let paint = Paint.color(faint(using: &generator).withAlpha(0.5))
        let step = generator.uniform(12...30)
        var path = Path()
        for x in stride(from: generator.uniform(0...step), to: Double(canvas.width), by: step) {
            path.append(.segment(Point(x, 0), Point(x, Double(canvas.height))))
        }
        for y in stride(from: generator.uniform(0...step), to: Double(canvas.height), by: step) {
            path.append(.segment(Point(0, y), Point(Double(canvas.width), y)))
        }
        canvas.stroke(path, paint, lineWidth: 0.8)
    }

    /// A colour a little off the ground.
    private func faint(using generator: inout SeededGenerator) -> Color {
        let target = Color(
            hue: generator.uniform(), saturation: generator.uniform(0...0.4), value: luma > 0.5 ? 0.3 : 0.9)
        return ground.0.mixed(with: target, generator.uniform(0.12...0.2 + 0.2 * difficulty))
    }

    /// The picture as a camera or a messenger would leave it.
    func finish(_ canvas: Canvas, using generator: inout SeededGenerator) throws -> Image {
        var image = try canvas.image()
        let (noisy, monochrome) = (generator.chance(0.6), generator.chance(0.5))
        let deviation = generator.uniform(1...2 + 14 * difficulty)
        if noisy, difficulty > 0 { image.addNoise(deviation: deviation, monochrome: monochrome, using: &generator) }
        let (compressed, quality) = (generator.chance(0.5), generator.uniform(95 - 55 * difficulty...95))
        if compressed, difficulty > 0 { image = try .decode(image.jpegData(quality: Int(quality)), name: "artefacts") }
        return image
    }
}
