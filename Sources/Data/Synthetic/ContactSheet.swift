import Media

/// Many samples on one picture, each with its boxes and questions, to be looked at by a person.
public struct ContactSheet {
    public var columns: Int
    /// Draw the boxes of `metadata.objects` over the pictures.
    public var showsBoxes: Bool

    private static let tile = (width: 300.0, picture: 290.0, text: 118.0)
    private static let font = Font("Noto Sans CJK SC", size: 11.5)

    public init(columns: Int = 5, showsBoxes: Bool = true) {
        self.columns = columns
        self.showsBoxes = showsBoxes
    }

    /// The sheet as a PNG file.
    public func png(_ samples: [SyntheticSample]) throws -> [UInt8] {
        let rows = max(1, (samples.count + columns - 1) / columns)
        let tile = Self.tile
        let canvas = try Canvas(width: columns * Int(tile.width), height: rows * Int(tile.picture + tile.text))
        canvas.fill(.color(.white))
        for (index, sample) in samples.enumerated() {
            let corner = Point(
                Double(index % columns) * tile.width + 5, Double(index / columns) * (tile.picture + tile.text) + 5)
            try draw(sample, at: corner, on: canvas)
        }
        return try canvas.png()
    }

    private func draw(_ sample: SyntheticSample, at corner: Point, on canvas: Canvas) throws {
        let scale = min(1, 280 / Double(max(sample.image.width, sample.image.height)))
        try canvas.draw(sample.image, at: corner, scale: scale)
        if showsBoxes {
            for object in sample.metadata.objects {
                let box = Rectangle(
                    x: corner.x + object.box.x * scale, y: corner.y + object.box.y * scale,
                    width: object.box.width * scale, height: object.box.height * scale)
                canvas.stroke(.rectangle(box), .color(Color(0, 0.8, 0.9)), lineWidth: 0.7)
            }
        }
        var y = corner.y + Double(sample.image.height) * scale + 14
        let end = corner.y + Self.tile.picture + Self.tile.text - 10
        let head = "#\(sample.metadata.index) \(sample.task.rawValue) \(sample.image.width)x\(sample.image.height) "
        for text in [head + (sample.metadata.font ?? "")] + sample.turns.map({ "\($0.question) → \($0.answer)" }) {
            for line in wrapped(Self.plain(text)) where y < end {
                try canvas.draw(line, at: Point(corner.x, y), font: Self.font, .color(.black))
                y += 14
            }
        }
    }

    private static func plain(_ text: String) -> String {
        var result = ""
        var inMark = false
        for character in text {
            if character == "<" { inMark = true }
            if !inMark { result.append(character == "\n" ? "⏎" : character) }
            if character == ">" { inMark = false }
        }
        return result
    }

    /// Lines of about a tile's width, counting Chinese characters double.
    private func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        var line = ""
        var width = 0
        for character in text {
            let wide = character.unicodeScalars.first.map { $0.value > 0x2E00 } ?? false
            width += wide ? 2 : 1
            if width > 46 {
                lines.append(line)
                line = ""
                width = wide ? 2 : 1
            }
            line.append(character)
        }
        return line.isEmpty ? lines : lines + [line]
    }
}
