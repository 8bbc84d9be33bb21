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
            guard let text = region.name.flatMap({ Self.label($0, size: fontSize) }) else { continue }
            let bounds = region.bounds(width: width, height: height), extents = text.extents.logical
            let margin = fontSize / 4
            let label = Rectangle(
                x: max(0, min(bounds.x, Double(width) - extents.width - 2 * margin)),
                y: max(0, bounds.y - extents.height - line), width: extents.width + 2 * margin, height: extents.height)
            canvas.fill(.rectangle(label), .color(color))
            canvas.draw(text, at: Point(label.x + margin, label.y - extents.y), .color(.white))
        }
        return try canvas.image()
    }

    /// Names come from models: one that no font here can write is left out, and a long one is cut.
    private static func label(_ name: String, size: Double) -> TextLine? {
        let line = name.split(whereSeparator: \.isNewline).joined(separator: " ").prefix(60)
        guard !line.isEmpty else { return nil }
        for family in ["DejaVu Sans", "Noto Sans CJK SC", "Helvetica", "PingFang SC", "Liberation Sans"] {
            if let text = try? TextLine(String(line), font: Font(family, size: size, weight: 600)) { return text }
        }
        return nil
    }
}
