import Media
import Models

/// How the tokens are shared out, and what was done to the colours.
struct BudgetCard: PageCard {
    private let shares: [(name: String, count: Int, color: Color)]
    private let facts: [(String, String)]
    private let total: Int

    init(_ inspection: Inspection) {
        let visual = inspection.pictures.reduce(0) { $0 + $1.tokens }
        let text = Color(0.62, 0.66, 0.72)
        var shares = [("text", inspection.tokens - visual, text)]
        for (index, picture) in inspection.pictures.enumerated() where picture.tokens > 0 {
            shares.append(("picture \(index + 1)", picture.tokens, PageStyle.color(index)))
        }
        if shares.count > 9 { shares = [shares[0], ("\(shares.count - 1) pictures", visual, PageStyle.color(0))] }
        self.shares = shares
        total = max(1, inspection.tokens)
        let percent = Double(inspection.tokens) / Double(max(1, inspection.contextLength)) * 100
        let context = "\(inspection.tokens) of \(inspection.contextLength) tokens, \(Self.short(percent)) %"
        var facts = [("context", context)]
        if inspection.columns > 0 { facts.append(("columns", "\(inspection.columns) in cross-attention")) }
        if let normalization = inspection.normalization {
            facts.append(("mean", normalization.mean.map(Self.short).joined(separator: ", ")))
            facts.append(("deviation", normalization.deviation.map(Self.short).joined(separator: ", ")))
        }
        self.facts = facts
    }

    private static func short(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }

    var height: Double { 92 + Double(shares.count + facts.count) * 22 + 14 + PageStyle.padding / 2 }

    func draw(on canvas: Canvas, in frame: Rectangle) throws {
        canvas.card(frame)
        let left = frame.x + PageStyle.padding, width = frame.width - 2 * PageStyle.padding
        try canvas.write("Where the tokens go", x: left, y: frame.y + 38, size: 18, weight: 700)
        var x = left
        for share in shares {
            let part = width * Double(share.count) / Double(total)
            canvas.fill(.rectangle(Rectangle(x: x, y: frame.y + 54, width: part, height: 16)), .color(share.color))
            x += part
        }
        var y = frame.y + 98
        for share in shares {
            canvas.fill(
                .roundedRectangle(Rectangle(x: left, y: y - 11, width: 12, height: 12), radius: 3), .color(share.color))
            try canvas.write(share.name, x: left + 20, y: y, size: 14)
            try canvas.write("\(share.count)", x: left + 140, y: y, size: 14, weight: 600)
            y += 22
        }
        y += 14
        for (name, value) in facts {
            try canvas.write(name, x: left, y: y, size: 14, PageStyle.faint)
            try canvas.write(value, x: left + 140, y: y, size: 14)
            y += 22
        }
    }
}
