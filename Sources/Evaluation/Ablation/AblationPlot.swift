internal import Media
internal import Terminal
public import Training

/// A grid's results as a picture: a bar for each cell, with a mark where a model without eyes would end.
public struct AblationPlot {
    private let report: AblationReport

    public init(_ report: AblationReport) { self.report = report }

    private static let row = 34.0
    private static let top = 96.0
    private static let bars = 640.0
    private static let labelSize = 15.0

    /// The PNG file's bytes. Throws `DrawingError`.
    public func png() throws -> [UInt8] {
        let labels = report.results.map { $0.choices.joined(separator: " · ") }
        let width = try labels.reduce(120.0) { try max($0, Self.width($1)) } + 2 * PageStyle.margin
        let start = width, total = width + Self.bars + 220
        let height = Self.top + Double(labels.count) * Self.row + 56
        let canvas = try Canvas(
            width: min(Canvas.maximumSide, Int(total)), height: min(Canvas.maximumSide, Int(height)))
        canvas.fill(.color(PageStyle.background))
        canvas.card(canvas.frame.insetBy(12))
        try canvas.write(report.grid.name, x: PageStyle.margin, y: 50, size: 22, weight: 700)
        let axes = report.grid.axes.map(\.name).joined(separator: " · ")
        try canvas.write(axes, x: PageStyle.margin, y: 78, size: 14, PageStyle.faint)
        try canvas.write(
            "answer tokens right on held-out pictures" + (hasBlind ? "; the line: with noise for pictures" : ""),
            x: start, y: 78, size: 14, PageStyle.faint)
        try drawScale(canvas, from: start, to: Self.top + Double(labels.count) * Self.row)
        let first = report.grid.axes.first?.choices.map(\.name) ?? []
        for (number, result) in report.results.enumerated() {
            let y = Self.top + Double(number) * Self.row
            try canvas.write(labels[number], x: PageStyle.margin, y: y + 22, size: Self.labelSize)
            let color = PageStyle.color(first.firstIndex(of: result.choices.first ?? "") ?? 0)
            let length = max(2, Self.bars * result.accuracy)
            canvas.fill(
                .roundedRectangle(Rectangle(x: start, y: y + 6, width: length, height: Self.row - 12), radius: 4),
                .color(color))
            if let blind = result.blindAccuracy {
                canvas.fill(
                    .rectangle(
                        Rectangle(x: start + Self.bars * blind - 1.5, y: y + 2, width: 3, height: Self.row - 4)),
                    .color(PageStyle.ink))
            }
            let value = "\(Format.percent(result.accuracy))  loss \(Format.decimal(result.loss, 3))"
            try canvas.write(
                value, x: start + max(length, Self.bars * (result.blindAccuracy ?? 0)) + 10, y: y + 22, size: 14)
        }
        return try canvas.png()
    }

    private var hasBlind: Bool { report.results.contains { $0.blindAccuracy != nil } }

    private func drawScale(_ canvas: Canvas, from x: Double, to bottom: Double) throws {
        for tenth in stride(from: 0, through: 100, by: 20) {
            let place = x + Self.bars * Double(tenth) / 100
            canvas.fill(
                .rectangle(Rectangle(x: place, y: Self.top, width: 1, height: bottom - Self.top)),
                .color(PageStyle.border))
            try canvas.write("\(tenth) %", x: place - 10, y: bottom + 20, size: 12, PageStyle.faint)
        }
    }

    private static func width(_ text: String) throws -> Double {
        try FontStack.sans.lines(text, size: labelSize).reduce(0) { $0 + $1.extents.logical.width }
    }
}
