import Media
import Models

/// Which tokens see which columns of gated cross-attention: tiles from left to right, the prompt from top to bottom.
struct ColumnsCard: PageCard {
    private struct Line {
        var name: String
        var isMono: Bool
        var columns: Range<Int>
    }

    private let lines: [Line]
    private let rest: Int
    private let blocks: [(name: String, columns: Range<Int>, color: Color)]
    private let total: Int
    private static let lineHeight = 20.0
    private static let names = 210.0
    private static let most = 60

    /// Nil for models without cross-attention.
    init?(_ inspection: Inspection) {
        guard inspection.columns > 0 else { return nil }
        total = inspection.columns
        blocks = inspection.pictures.enumerated().flatMap { index, picture in
            picture.views.enumerated().compactMap { tile, view in
                view.columns.map { columns in
                    let name = view.place == .thumbnail ? "T" : "\(tile + 1)"
                    return (name, columns, PageStyle.color(index))
                }
            }
        }
        // Neighbours that see the same are one line.
        var lines: [Line] = []
        for piece in inspection.prompt {
            var name = piece.text.split(whereSeparator: \.isNewline).joined(separator: " ")
            if case .features = piece.kind { name += " × \(piece.count)" }
            let seen = piece.columns
            if let last = lines.last, last.columns == seen {
                lines[lines.count - 1].name = String((last.name + name).prefix(200))
            } else {
                lines.append(Line(name: name, isMono: true, columns: seen))
            }
        }
        lines.append(Line(name: "the answer", isMono: false, columns: 0..<inspection.columns))
        rest = max(0, lines.count - Self.most)
        self.lines = Array(lines.prefix(Self.most))
    }

    var height: Double { 96 + Double(lines.count + (rest > 0 ? 1 : 0)) * Self.lineHeight + PageStyle.padding }

    func draw(on canvas: Canvas, in frame: Rectangle) throws {
        canvas.card(frame)
        let left = frame.x + PageStyle.padding
        try canvas.write("What each token sees by cross-attention", x: left, y: frame.y + 38, size: 18, weight: 700)
        let start = left + Self.names
        let width = frame.maxX - PageStyle.padding - start
        func x(_ column: Int) -> Double { start + width * Double(column) / Double(total) }
        for block in blocks {
            let area = Rectangle(
                x: x(block.columns.lowerBound) + 0.5, y: frame.y + 56,
                width: max(1, x(block.columns.upperBound) - x(block.columns.lowerBound) - 1), height: 20)
            canvas.fill(.roundedRectangle(area, radius: 3), .color(block.color))
            if area.width > 14 {
                try canvas.write(
                    block.name, x: area.center.x - 4 * Double(block.name.count), y: area.y + 15, size: 12, weight: 700,
                    .white)
            }
        }
        var y = frame.y + 86
        for line in lines {
            let name = line.name.count > 24 ? String(line.name.prefix(23)) + "…" : line.name
            try canvas.write(
                name, x: left, y: y + 14, line.isMono ? .mono : .sans, size: line.isMono ? 12 : 13,
                line.columns.isEmpty ? PageStyle.faint : PageStyle.ink)
            canvas.fill(
                .rectangle(Rectangle(x: start, y: y + 2, width: width, height: Self.lineHeight - 4)),
                .color(PageStyle.background))
            for block in blocks {
                let seen = block.columns.clamped(to: line.columns)
                guard !seen.isEmpty else { continue }
                let area = Rectangle(
                    x: x(seen.lowerBound) + 0.5, y: y + 2, width: max(1, x(seen.upperBound) - x(seen.lowerBound) - 1),
                    height: Self.lineHeight - 4)
                canvas.fill(.rectangle(area), .color(block.color.mixed(with: .white, 0.35)))
            }
            y += Self.lineHeight
        }
        if rest > 0 {
            try canvas.write("… and \(rest) more", x: left, y: y + 14, size: 13, PageStyle.faint)
        }
    }
}
