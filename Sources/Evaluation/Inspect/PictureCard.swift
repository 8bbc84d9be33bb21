import Media
import Models

/// One picture: as given, and as the vision tower gets it.
struct PictureCard: PageCard {
    let picture: Inspection.Picture
    let index: Int
    private let stage: Rectangle
    private let scale: Double
    private let tiles: [(view: Inspection.View, column: Int, row: Int)]
    private let thumbnail: Inspection.View?

    private static let left = 260.0
    private static let head = 92.0
    private static let tileGap = 10.0
    private static let caption = 22.0
    private static let inset = 200.0

    init(_ picture: Inspection.Picture, index: Int) {
        self.picture = picture
        self.index = index
        thumbnail = picture.views.first { $0.place == .thumbnail }
        tiles = picture.views.compactMap { view in
            switch view.place {
            case .whole: (view, 0, 0)
            case .tile(let column, let row): (view, column, row)
            case .thumbnail: nil
            }
        }
        let columns = Double((tiles.map(\.column).max() ?? 0) + 1), rows = Double((tiles.map(\.row).max() ?? 0) + 1)
        let image = tiles.first?.view.image ?? picture.original
        let width = PageStyle.pictures - 2 * PageStyle.padding - Self.left - PageStyle.gap
        let wide = (width - (columns - 1) * Self.tileGap) / columns / Double(image.width)
        let high = (900 - (rows - 1) * (Self.tileGap + Self.caption)) / rows / Double(image.height)
        let fit = min(wide, high, 16)
        // Whole steps keep enlarged pixels square.
        scale = fit > 1 ? fit.rounded(.down) : fit
        stage = Rectangle(
            x: 0, y: 0,
            width: columns * Double(image.width) * scale + (columns - 1) * Self.tileGap,
            height: rows * (Double(image.height) * scale + Self.caption) + (rows - 1) * Self.tileGap)
    }

    /// Height of the column with the picture as given and the thumbnail.
    private var leftHeight: Double {
        var height = Self.side(picture.original, Self.left).height + Self.caption
        if let thumbnail {
            height += Self.side(thumbnail.image, Self.left).height + 1.5 * Self.caption
            if !thumbnail.tag.isEmpty { height += Self.caption }
        }
        return height
    }

    /// Whether there is more room for the enlarged token under the tiles than under the thumbnail.
    private var hasInsetOnTheRight: Bool { leftHeight > stage.height }

    var height: Double {
        let inset = magnified == nil ? 0 : Self.inset + 1.5 * Self.caption
        let left = leftHeight + (hasInsetOnTheRight ? 0 : inset)
        let right = stage.height + (hasInsetOnTheRight ? inset : 0)
        return Self.head + max(left, right) + PageStyle.padding
    }

    /// The size of a picture in a square of this side.
    private static func side(_ image: Image, _ side: Double) -> (width: Double, height: Double, scale: Double) {
        let scale = min(side / Double(image.width), side / Double(image.height), 16)
        return (Double(image.width) * scale, Double(image.height) * scale, scale)
    }

    func draw(on canvas: Canvas, in frame: Rectangle) throws {
        canvas.card(frame)
        let color = PageStyle.color(index)
        let x = frame.x + PageStyle.padding
        canvas.fill(.circle(Point(x + 14, frame.y + 38), radius: 14), .color(color))
        let number = "\(index + 1)"
        try canvas.write(
            number, x: x + 14 - Double(number.count) * 4.6, y: frame.y + 43.5, size: 16, weight: 700, .white)
        try canvas.write(picture.name, x: x + 40, y: frame.y + 36, size: 18, weight: 700)
        try canvas.write(summary, x: x + 40, y: frame.y + 60, size: 14, PageStyle.faint)

        var y = frame.y + Self.head
        let given = Self.side(picture.original, Self.left)
        try show(picture.original, on: canvas, at: Point(x, y), scale: given.scale)
        y += given.height + Self.caption
        try canvas.write(
            "as given, \(picture.original.width) × \(picture.original.height)", x: x, y: y - 6, size: 12.5,
            PageStyle.faint)
        if let thumbnail {
            y += Self.caption / 2
            let size = Self.side(thumbnail.image, Self.left)
            try show(thumbnail.image, on: canvas, at: Point(x, y), scale: size.scale)
            grid(on: canvas, Rectangle(x: x, y: y, width: size.width, height: size.height), thumbnail.image, size.scale)
            y += size.height + Self.caption
            try caption(thumbnail, "thumbnail", on: canvas, x: x, y: y - 6, width: Self.left)
            if !thumbnail.tag.isEmpty { y += Self.caption }
        }

        let origin = Point(x + Self.left + PageStyle.gap, frame.y + Self.head)
        if let magnified {
            let under = hasInsetOnTheRight ? Point(origin.x, origin.y + stage.height) : Point(x, y)
            try drawInset(magnified, on: canvas, at: Point(under.x, under.y + Self.caption / 2))
        }
        for (view, column, row) in tiles {
            let width = Double(view.image.width) * scale, height = Double(view.image.height) * scale
            let place = Rectangle(
                x: origin.x + Double(column) * (width + Self.tileGap),
                y: origin.y + Double(row) * (height + Self.tileGap + Self.caption), width: width, height: height)
            try show(view.image, on: canvas, at: Point(place.x, place.y), scale: scale)
            grid(on: canvas, place, view.image, scale)
            if let magnified, column == 0, row == 0 {
                let mark = magnified.frame
                canvas.stroke(
                    .rectangle(
                        Rectangle(
                            x: place.x + mark.x * scale, y: place.y + mark.y * scale, width: mark.width * scale,
                            height: mark.height * scale)), .color(.white), lineWidth: 4)
                canvas.stroke(
                    .rectangle(
                        Rectangle(
                            x: place.x + mark.x * scale, y: place.y + mark.y * scale, width: mark.width * scale,
                            height: mark.height * scale)), .color(color), lineWidth: 2)
            }
            let name = view.place == .whole ? "the whole" : "tile \(row * columnCount + column + 1)"
            try caption(view, name, on: canvas, x: place.x, y: place.maxY + Self.caption - 6, width: width)
        }
    }

    private var columnCount: Int { (tiles.map(\.column).max() ?? 0) + 1 }

    private var summary: String {
        let patch = picture.patchSize
        var parts: [String] = []
        switch picture.layout {
        case .patches(let grid):
            parts.append("resized to \(grid.width * patch) × \(grid.height * patch)")
            parts.append("\(grid.width) × \(grid.height) patches of \(patch)")
        case .tiles(let grid):
            let size = picture.views.first.map { "\($0.image.width) × \($0.image.height)" } ?? ""
            parts.append(
                grid.count == 1
                    ? "resized to \(size)"
                    : "\(grid.columns) × \(grid.rows) tiles of \(size)\(grid.hasThumbnail ? " and a thumbnail" : "")")
            parts.append("patches of \(patch)")
        }
        if let merge = picture.patchesPerToken, merge > 1 { parts.append("\(merge) × \(merge) patches a token") }
        parts.append("\(picture.tokens) token\(picture.tokens == 1 ? "" : "s")")
        if picture.columns > 0 { parts.append("\(picture.columns) columns of cross-attention") }
        parts.append("tensor \(picture.shape.map(String.init).joined(separator: " × "))")
        return parts.joined(separator: "  ·  ")
    }

    // MARK: - pieces

    /// Shows a picture: reduced smoothly, enlarged in square pixels.
    private func show(_ image: Image, on canvas: Canvas, at corner: Point, scale: Double) throws {
        let width = max(1, Int((Double(image.width) * scale).rounded()))
        let height = max(1, Int((Double(image.height) * scale).rounded()))
        let shown = try image.resized(width: width, height: height, filter: scale < 1 ? .lanczos : .nearest)
        try canvas.draw(shown, at: Point(corner.x.rounded(), corner.y.rounded()))
        canvas.stroke(
            .rectangle(
                Rectangle(x: corner.x.rounded(), y: corner.y.rounded(), width: Double(width), height: Double(height))),
            .color(PageStyle.border), lineWidth: 1)
    }

    /// Lines between tokens, and thin ones between patches where there is room.
    private func grid(on canvas: Canvas, _ frame: Rectangle, _ image: Image, _ scale: Double) {
        let patch = Double(picture.patchSize) * scale
        let token = patch * Double(picture.patchesPerToken ?? 1)
        func lines(_ step: Double, _ color: Color, _ lineWidth: Double) {
            var path = Path()
            var at = step
            while at < frame.width - 0.5 {
                path.move(frame.x + at, frame.y)
                path.line(frame.x + at, frame.maxY)
                at += step
            }
            at = step
            while at < frame.height - 0.5 {
                path.move(frame.x, frame.y + at)
                path.line(frame.maxX, frame.y + at)
                at += step
            }
            canvas.stroke(path, .color(color), lineWidth: lineWidth)
        }
        if patch >= 7, token > patch { lines(patch, Color(1, 1, 1, alpha: 0.22), 0.6) }
        if token >= 5 {
            lines(token, Color(0, 0, 0, alpha: 0.25), 1.6)
            lines(token, Color(1, 1, 1, alpha: 0.75), 0.8)
        }
    }

    /// Which tile it is, its tag, and where its features go.
    private func caption(
        _ view: Inspection.View, _ name: String, on canvas: Canvas, x: Double, y: Double, width: Double
    ) throws {
        let size = width < 150 ? 10.0 : 12.5
        var next = x + (try canvas.write(name, x: x, y: y, size: size, weight: 600)) + 8
        if view.place == .thumbnail {
            // Its tag is long.
            try canvas.write(view.tag, x: x, y: y + Self.caption, .mono, size: size - 1, PageStyle.color(index))
        } else if !view.tag.isEmpty, width >= 200 {
            next += try canvas.write(view.tag, x: next, y: y, .mono, size: size - 1, PageStyle.color(index)) + 8
        }
        try canvas.write(destination(view), x: next, y: y, size: size, PageStyle.faint)
    }

    private func destination(_ view: Inspection.View) -> String {
        if let tokens = view.tokens { return "→ tokens \(tokens.lowerBound)–\(tokens.upperBound - 1)" }
        if let columns = view.columns { return "→ columns \(columns.lowerBound)–\(columns.upperBound - 1)" }
        return ""
    }

    /// The pixels of the token in the middle of the first tile.
    private var magnified: (image: Image, frame: Rectangle)? {
        guard let view = tiles.first?.view, let merge = picture.patchesPerToken else { return nil }
        let side = picture.patchSize * merge
        guard side <= 100, view.image.width >= side, view.image.height >= side else { return nil }
        let x = view.image.width / side / 2 * side, y = view.image.height / side / 2 * side
        guard let crop = try? view.image.cropped(x: x, y: y, width: side, height: side) else { return nil }
        return (crop, Rectangle(x: Double(x), y: Double(y), width: Double(side), height: Double(side)))
    }

    private func drawInset(_ part: (image: Image, frame: Rectangle), on canvas: Canvas, at corner: Point) throws {
        let factor = max(1, (Self.inset / Double(part.image.width)).rounded(.down))
        try show(part.image, on: canvas, at: corner, scale: factor)
        let side = Double(part.image.width) * factor, patch = Double(picture.patchSize) * factor
        var path = Path()
        for step in 1..<max(2, picture.patchesPerToken ?? 1) where Double(step) * patch < side {
            path.move(corner.x + Double(step) * patch, corner.y)
            path.line(corner.x + Double(step) * patch, corner.y + side)
            path.move(corner.x, corner.y + Double(step) * patch)
            path.line(corner.x + side, corner.y + Double(step) * patch)
        }
        canvas.stroke(path, .color(.white), lineWidth: 1.5)
        canvas.stroke(
            .rectangle(Rectangle(x: corner.x, y: corner.y, width: side, height: side)),
            .color(PageStyle.color(index)), lineWidth: 3)
        let merge = picture.patchesPerToken ?? 1
        let what = merge > 1 ? "one token, \(merge) × \(merge) patches, ×\(Int(factor))" : "one token, ×\(Int(factor))"
        try canvas.write(what, x: corner.x, y: corner.y + side + Self.caption - 6, size: 12.5, PageStyle.faint)
    }
}
