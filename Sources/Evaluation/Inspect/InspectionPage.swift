public import Media
import Models

extension Inspection {
    /// A page that shows it: the pictures on the left, the prompt and where its tokens go on the right.
    ///
    /// - Throws: `DrawingError`, where no font is installed.
    public func page() throws -> Image {
        let shown = pictures.enumerated().map { PictureCard($1, index: $0) }
        var right: [any PageCard] = [BudgetCard(self)]
        if let columns = ColumnsCard(self) { right.append(columns) }
        right.append(try PromptCard(self))

        let notes = warnings.flatMap { Self.wrapped("⚠ \($0)", columns: 190) }
        let top = 104.0 + Double(notes.count) * 24 + (notes.isEmpty ? 0 : 12)
        // A canvas ends somewhere; what does not fit on it is said.
        var left: [PictureCard] = [], leftHeight = 0.0
        for card in shown where leftHeight + card.height + PageStyle.gap + top + 100 < Double(Canvas.maximumSide) {
            left.append(card)
            leftHeight += card.height + PageStyle.gap
        }
        let missing = shown.count - left.count
        let rightHeight = right.reduce(0) { $0 + $1.height + PageStyle.gap }
        let height = top + max(leftHeight + (missing > 0 ? 40 : 0), rightHeight) + PageStyle.margin - PageStyle.gap
        let width = 2 * PageStyle.margin + PageStyle.pictures + PageStyle.gap + PageStyle.side
        let canvas = try Canvas(width: Int(width), height: Int(height.rounded(.up)))
        canvas.fill(.color(PageStyle.background))

        let margin = PageStyle.margin
        let end = try canvas.write("What ", x: margin, y: 62, size: 28)
        let name = try canvas.write(model, x: margin + end, y: 62, size: 28, weight: 700)
        try canvas.write(" sees", x: margin + end + name, y: 62, size: 28)
        var y = 96.0
        for note in notes {
            try canvas.write(note, x: margin, y: y + 8, size: 14, PageStyle.warning)
            y += 24
        }
        y = top
        for card in left {
            try card.draw(
                on: canvas, in: Rectangle(x: margin, y: y, width: PageStyle.pictures, height: card.height))
            y += card.height + PageStyle.gap
        }
        if missing > 0 {
            try canvas.write("… and \(missing) more pictures", x: margin, y: y + 16, size: 16, PageStyle.faint)
        }
        y = top
        for card in right {
            let frame = Rectangle(
                x: margin + PageStyle.pictures + PageStyle.gap, y: y, width: PageStyle.side, height: card.height)
            try card.draw(on: canvas, in: frame)
            y += card.height + PageStyle.gap
        }
        return try canvas.image()
    }
    private static func wrapped(_ text: String, columns: Int) -> [String] {
        text.split(separator: " ").reduce(into: [""]) { lines, word in
            if let last = lines.last, !last.isEmpty, last.count + word.count >= columns {
                lines.append("    \(word)")
            } else {
                lines[lines.count - 1] += lines.last?.isEmpty == true ? String(word) : " \(word)"
            }
        }
    }
}
