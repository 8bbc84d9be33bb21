import Media
import Testing

@Suite struct DrawingTests {
    private func pixel(_ image: Image, _ x: Int, _ y: Int) -> [UInt8] {
        let at = (y * image.width + x) * 3
        return Array(image.pixels[at..<at + 3])
    }

    /// Around the pixels that are not white.
    private func inked(_ image: Image) -> Rectangle? {
        var (left, top, right, bottom) = (Int.max, Int.max, -1, -1)
        for y in 0..<image.height {
            for x in 0..<image.width where pixel(image, x, y) != [255, 255, 255] {
                (left, top, right, bottom) = (min(left, x), min(top, y), max(right, x + 1), max(bottom, y + 1))
            }
        }
        guard right >= 0 else { return nil }
        return Rectangle(x: Double(left), y: Double(top), width: Double(right - left), height: Double(bottom - top))
    }

    @Test func fillsAndReadsBackColours() throws {
        let canvas = try Canvas(width: 20, height: 10)
        canvas.fill(.color(Color(1, 0, 0)))
        canvas.fill(.rectangle(Rectangle(x: 5, y: 2, width: 4, height: 3)), .color(Color(0, 0.2, 1)))
        let image = try canvas.image()
        #expect(image.width == 20 && image.height == 10)
        #expect(pixel(image, 0, 0) == [255, 0, 0])
        #expect(pixel(image, 5, 2) == [0, 51, 255] && pixel(image, 8, 4) == [0, 51, 255])
        #expect(pixel(image, 9, 4) == [255, 0, 0] && pixel(image, 8, 5) == [255, 0, 0])
    }

    @Test(arguments: [0, -1, 16385, Int.max])
    func impossibleSizesAreRefused(side: Int) {
        #expect(throws: DrawingError.size(width: side, height: 5)) { try Canvas(width: side, height: 5) }
        #expect(throws: DrawingError.size(width: 5, height: side)) { try Canvas(width: 5, height: side) }
    }

    @Test func boundsOfPathsAreWhereTheirPixelsAre() throws {
        let center = Point(40, 40)
        var heart = Path()
        heart.move(0, 0.48)
        heart.curve(Point(-0.9, -0.3), Point(-0.2, -0.9), to: Point(0, -0.2))
        heart.curve(Point(0.2, -0.9), Point(0.9, -0.3), to: Point(0, 0.48))
        heart.close()
        let paths: [Path] = [
            .circle(center, radius: 20.5), .star(points: 5, center: center, radius: 30, inner: 12),
            .regular(6, center: center, radius: 25),
            heart.transformed(scaleX: 60, scaleY: 40, rotation: 0.7, x: 40, y: 40),
            .roundedRectangle(Rectangle(x: 10, y: 20, width: 30, height: 12), radius: 4),
        ]
        for path in paths {
            let canvas = try Canvas(width: 80, height: 80)
            canvas.fill(.color(.white))
            canvas.fill(path, .color(.black))
            let seen = try #require(inked(canvas.image()))
            let bounds = path.bounds
            // A pixel that is barely touched may stay white: sharp points lose up to two.
            #expect(seen.insetBy(-0.01).contains(bounds.insetBy(2)), "\(seen) \(bounds)")
            #expect(bounds.insetBy(-1).contains(seen), "\(seen) \(bounds)")
        }
    }

    @Test func inkExtentsAreWhereTheLettersAre() throws {
        let canvas = try Canvas(width: 200, height: 60)
        canvas.fill(.color(.white))
        let font = Font("DejaVu Sans", size: 30, weight: 700)
        let extents = try canvas.draw("Hgx 7", at: Point(20, 40), font: font, .color(.black))
        let seen = try #require(inked(canvas.image()))
        let ink = extents.ink.offsetBy(x: 20, y: 40)
        #expect(ink.intersectionOverUnion(seen) > 0.9, "\(ink) \(seen)")
        #expect(extents.logical.width >= extents.ink.width && extents.ink.y < -20)
    }

    @Test func missingFamiliesAreErrors() throws {
        let canvas = try Canvas(width: 50, height: 50)
        do {
            try canvas.draw("a", at: Point(0, 20), font: Font("No Such Family", size: 12), .color(.black))
            Issue.record("a missing family was replaced")
        } catch {
            guard case .fontMissing(let family, let offered) = error else { throw error }
            #expect(family == "No Such Family" && !offered.isEmpty && offered != family)
            #expect(error.description.contains("not installed"))
        }
    }

    @Test func chineseNeedsAFamilyThatHasIt() throws {
        let canvas = try Canvas(width: 200, height: 50)
        canvas.fill(.color(.white))
        let text = "红色圆形"
        try canvas.draw(text, at: Point(5, 40), font: Font("Noto Sans CJK SC", size: 30), .color(.black))
        let seen = try #require(inked(canvas.image()))
        #expect(seen.width > 100 && seen.height > 24)
        #expect(throws: DrawingError.glyphsMissing(text: text, family: "DejaVu Sans", count: 4)) {
            try canvas.draw(text, at: Point(5, 40), font: Font("DejaVu Sans", size: 30), .color(.black))
        }
    }

    @Test func oddTextIsDrawnOrRefused() throws {
        let canvas = try Canvas(width: 50, height: 50)
        let font = Font("DejaVu Sans", size: 12)
        #expect(try canvas.draw("", at: Point(0, 20), font: font, .color(.black)).ink.width == 0)
        #expect(throws: DrawingError.self, "there is no glyph for a line break") {
            try canvas.draw("two\nlines", at: Point(0, 20), font: font, .color(.black))
        }
        #expect(throws: DrawingError.badFontSize(0)) {
            try canvas.draw("a", at: Point(0, 20), font: Font("DejaVu Sans", size: 0), .color(.black))
        }
        #expect(throws: DrawingError.self) {
            try canvas.draw("a", at: Point(0, 20), font: Font("DejaVu Sans", size: .nan), .color(.black))
        }
    }

    @Test func picturesAreCompositedAndRotated() throws {
        let canvas = try Canvas(width: 30, height: 30)
        canvas.fill(.color(.white))
        try canvas.draw(Image(width: 4, height: 2, red: 9, green: 200, blue: 30), at: Point(3, 5), scale: 2)
        #expect(pixel(try canvas.image(), 5, 6) == [9, 200, 30])
        try canvas.draw(Image(width: 30, height: 30, red: 0, green: 0, blue: 0), at: Point(0, 0), opacity: 0.5)
        #expect(abs(Int(pixel(try canvas.image(), 29, 29)[0]) - 128) <= 1)

        let turned = try Canvas(width: 40, height: 40)
        turned.fill(.color(.white))
        turned.rotated(by: .pi / 2, about: Point(20, 20)) {
            turned.fill(.rectangle(Rectangle(x: 20, y: 18, width: 15, height: 4)), .color(.black))
        }
        #expect(inked(try turned.image()) == Rectangle(x: 18, y: 20, width: 4, height: 15))
    }

    @Test func pngBeginsLikeOne() throws {
        #expect(try Canvas(width: 3, height: 3).png().starts(with: [0x89, 0x50, 0x4E, 0x47]))
    }

    @Test func noiseHasItsDeviation() {
        var generator = SeededGenerator(seed: 1)
        var image = Image(width: 200, height: 200, red: 128, green: 128, blue: 128)
        image.addNoise(deviation: 10, monochrome: false, using: &generator)
        let values = image.pixels.map { Double($0) - 128 }
        let mean = values.reduce(0, +) / Double(values.count)
        let deviation = (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
        #expect(abs(mean) < 0.3 && abs(deviation - 10) < 0.4)
    }
}
