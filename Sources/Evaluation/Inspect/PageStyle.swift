import Media

/// Colours and sizes of the page that `omma inspect` draws.
enum PageStyle {
    static let background = Color(0.955, 0.96, 0.97)
    static let card = Color.white
    static let border = Color(0.86, 0.875, 0.9)
    static let ink = Color(0.11, 0.13, 0.17)
    static let faint = Color(0.42, 0.46, 0.53)
    static let warning = Color(0.76, 0.25, 0.05)
    static let special = Color(0.90, 0.915, 0.94)

    static let margin = 40.0
    static let gap = 24.0
    static let padding = 24.0
    static let pictures = 1120.0
    static let side = 560.0

    private static let colors = [
        Color(0.16, 0.46, 0.83), Color(0.80, 0.32, 0.05), Color(0.09, 0.53, 0.33), Color(0.58, 0.25, 0.73),
        Color(0.76, 0.13, 0.34), Color(0.05, 0.50, 0.58), Color(0.55, 0.43, 0.05), Color(0.35, 0.37, 0.75),
    ]

    /// A colour for each picture, dark enough for white letters.
    static func color(_ picture: Int) -> Color { colors[picture % colors.count] }
}

/// A part of the page whose height follows from its width.
protocol PageCard {
    var height: Double { get }
    func draw(on canvas: Canvas, in frame: Rectangle) throws
}

extension Canvas {
    /// Writes a line and gives its width.
    @discardableResult
    func write(
        _ text: String, x: Double, y: Double, _ fonts: FontStack = .sans, size: Double, weight: Int = 400,
        _ color: Color = PageStyle.ink
    ) throws -> Double {
        var x = x
        let start = x
        for line in try fonts.lines(text, size: size, weight: weight) {
            draw(line, at: Point(x, y), .color(color))
            x += line.extents.logical.width
        }
        return x - start
    }

    func card(_ frame: Rectangle) {
        fill(.roundedRectangle(frame, radius: 12), .color(PageStyle.card))
        stroke(.roundedRectangle(frame, radius: 12), .color(PageStyle.border), lineWidth: 1)
    }
}
