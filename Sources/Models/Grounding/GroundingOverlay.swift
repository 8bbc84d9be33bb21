public import Media

extension Image {
    /// A copy with places drawn on it: an outline of its own colour for each, and its name above it.
    ///
    /// - Throws: `DrawingError` for pictures that are too large to draw on.
    public func drawing(_ regions: [GroundedRegion]) throws -> Image {
        let canvas = try Canvas(self)
        let size = Double(max(width, height))
        let line = max(1.5, size / 300)
        let fontSize = min(max(11, size / 45), 60)
        for (index, region) in regions.enumerated() {
            // Steps of the golden angle keep neighbours apart, however many there are.
            let hue = (0.58 + Double(index) * 0.618034).truncatingRemainder(dividingBy: 1)
            let color = Color(hue: hue, saturation: 0.85, value: 0.9)
            let corners = region.corners(width: width, height: height)
            let path: Path =
                corners.count == 1 ? .circle(corners[0], radius: line * 3) : .polygon(corners)
            canvas.stroke(path, .color(.white), lineWidth: line * 2)
            canvas.stroke(path, .color(color), lineWidth: line)
            let runs = region.name.map { Self.label($0, size: fontSize) } ?? []
            guard let height = runs.map(\.extents.logical.height).max() else { continue }
            let bounds = region.bounds(width: self.width, height: self.height), margin = fontSize / 4
            let ascent = runs.reduce(0) { max($0, -$1.extents.logical.y) }
            let width = runs.reduce(2 * margin) { $0 + $1.extents.logical.width }
            let label = Rectangle(
                x: max(0, min(bounds.x, Double(self.width) - width)), y: max(0, bounds.y - height - line),
                width: width, height: height)
            canvas.fill(.rectangle(label), .color(color))
            var x = label.x + margin
            for run in runs {
                canvas.draw(run, at: Point(x, label.y + ascent), .color(.white))
                x += run.extents.logical.width
            }
        }
        return try canvas.image()
    }

    /// Names come from models: a long one is cut, and where there is no font at all the outline stands alone.
    private static func label(_ name: String, size: Double) -> [TextLine] {
        let line = name.split(whereSeparator: \.isNewline).joined(separator: " ").prefix(60)
        return line.isEmpty ? [] : (try? FontStack.sans.lines(String(line), size: size, weight: 600)) ?? []
    }
}
