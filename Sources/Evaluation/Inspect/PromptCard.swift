import Media
import Models

/// The prompt as the model reads it: text, special tokens, and the runs of placeholders folded.
struct PromptCard: PageCard {
    private struct Word {
        var lines: [TextLine]
        var width: Double
        var fill: Color?
        var color: Color
    }

    private let rows: [[Word]]
    private let rest: Int
    private let title: String
    private static let size = 13.5
    private static let lineHeight = 24.0
    /// More lines are told, not shown.
    private static let most = 160

    init(_ inspection: Inspection) throws {
        title = "The prompt, \(inspection.tokens) tokens"
        let width = PageStyle.side - 2 * PageStyle.padding
        var rows: [[Word]] = [[]]
        var x = 0.0, rest = 0
        func add(_ text: String, fill: Color?, _ color: Color, inset: Double) throws {
            let lines = try FontStack.mono.lines(text, size: Self.size)
            let wide = lines.reduce(0) { $0 + $1.extents.logical.width } + 2 * inset
            if x > 0, x + wide > width {
                rows.append([])
                x = 0
            }
            if wide > width, text.count > 1 {
                let half = text.index(text.startIndex, offsetBy: text.count / 2)
                try add(String(text[..<half]), fill: fill, color, inset: inset)
                try add(String(text[half...]), fill: fill, color, inset: inset)
                return
            }
            rows[rows.count - 1].append(Word(lines: lines, width: wide, fill: fill, color: color))
            x += wide + (inset > 0 ? 3 : 0)
        }
        for piece in inspection.prompt {
            guard rows.count <= Self.most else {
                rest += piece.count
                continue
            }
            switch piece.kind {
            case .special:
                try add(Self.shown(piece.text), fill: PageStyle.special, PageStyle.faint, inset: 5)
            case .features(let picture):
                try add(
                    "\(Self.shown(piece.text)) × \(piece.count)", fill: PageStyle.color(picture), .white, inset: 6)
            case .text:
                for (number, line) in piece.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                    if number > 0 {
                        try add("↵", fill: nil, PageStyle.border.mixed(with: PageStyle.faint, 0.5), inset: 0)
                        rows.append([])
                        x = 0
                    }
                    for word in Self.words(line) where rows.count <= Self.most {
                        try add(word, fill: nil, PageStyle.ink, inset: 0)
                    }
                }
            }
        }
        self.rows = rows
        self.rest = rest
    }

    /// Words with the spaces behind them.
    private static func words(_ line: Substring) -> [String] {
        var words: [String] = []
        for character in line {
            let text = shown(String(character))
            if let last = words.last, !last.hasSuffix(" ") || character == " ", last.count < 24 {
                words[words.count - 1] += text
            } else {
                words.append(text)
            }
        }
        return words
    }

    /// Control characters by their names.
    private static func shown(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            if scalar.properties.generalCategory == .control {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }

    var height: Double { 64 + Double(rows.count + (rest > 0 ? 1 : 0)) * Self.lineHeight + PageStyle.padding - 6 }

    func draw(on canvas: Canvas, in frame: Rectangle) throws {
        canvas.card(frame)
        let left = frame.x + PageStyle.padding
        try canvas.write(title, x: left, y: frame.y + 38, size: 18, weight: 700)
        var y = frame.y + 76
        for row in rows {
            var x = left
            for word in row {
                var at = x
                if let fill = word.fill {
                    canvas.fill(
                        .roundedRectangle(Rectangle(x: x, y: y - 15, width: word.width, height: 20), radius: 5),
                        .color(fill))
                    at += (word.width - word.lines.reduce(0) { $0 + $1.extents.logical.width }) / 2
                }
                for line in word.lines {
                    canvas.draw(line, at: Point(at, y), .color(word.color))
                    at += line.extents.logical.width
                }
                x += word.width + (word.fill == nil ? 0 : 3)
            }
            y += Self.lineHeight
        }
        if rest > 0 {
            try canvas.write("… and \(rest) more tokens", x: left, y: y, size: 13.5, PageStyle.faint)
        }
    }
}
