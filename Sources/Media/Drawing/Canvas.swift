import CMedia

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A surface to draw on, and the picture that comes out.
///
/// Drawing is done by Cairo and Pango with antialiasing and without hinting; the same calls give the same pixels for the
/// same versions of those libraries and of the fonts. A canvas is used by one thread at a time, any number of canvases
/// by any number of threads; of these one at a time draws text, because Cairo's glyph cache is not safe otherwise.
public final class Canvas {
    public let width: Int
    public let height: Int
    let handle: OpaquePointer

    /// The longest side that a canvas may have.
    public static let maximumSide = 16384

    /// A black canvas.
    /// - Throws: `DrawingError.size` when a side is below 1 or above `maximumSide`, or memory is short.
    public init(width: Int, height: Int) throws(DrawingError) {
        let sides = 1...Self.maximumSide
        guard sides.contains(width), sides.contains(height),
            let handle = cm_canvas_create(Int32(width), Int32(height))
        else { throw .size(width: width, height: height) }
        self.width = width
        self.height = height
        self.handle = handle
    }

    /// A canvas that begins as a copy of `image`.
    public convenience init(_ image: Image) throws(DrawingError) {
        try self.init(width: image.width, height: image.height)
        try draw(image, at: Point(0, 0))
    }

    deinit { cm_canvas_destroy(handle) }

    /// The whole canvas.
    public var frame: Rectangle { Rectangle(x: 0, y: 0, width: Double(width), height: Double(height)) }

    // MARK: - shapes

    /// Covers everything.
    public func fill(_ paint: Paint) {
        use(paint)
        cm_canvas_paint(handle)
    }

    /// Fills the inside of a path.
    /// - Parameter evenOdd: areas that the path surrounds twice stay empty, as in a ring made of two circles.
    public func fill(_ path: Path, _ paint: Paint, evenOdd: Bool = false) {
        trace(path)
        use(paint)
        cm_canvas_fill(handle, evenOdd ? 1 : 0)
    }

    /// Draws a line along a path, with round joins and ends; half of `lineWidth` lies on either side.
    public func stroke(_ path: Path, _ paint: Paint, lineWidth: Double) {
        trace(path)
        use(paint)
        cm_canvas_stroke(handle, lineWidth)
    }

    /// Puts a picture on the canvas.
    /// - Parameter scale: size of one of the picture's pixels on the canvas.
    public func draw(_ image: Image, at corner: Point, scale: Double = 1, opacity: Double = 1) throws(DrawingError) {
        cm_canvas_save(handle)
        cm_canvas_translate(handle, corner.x, corner.y)
        cm_canvas_scale(handle, scale, scale)
        let drawn = cm_canvas_image(handle, image.pixels, Int32(image.width), Int32(image.height), opacity)
        cm_canvas_restore(handle)
        guard drawn != 0 else { throw .size(width: image.width, height: image.height) }
    }

    /// Runs `body` with everything it draws turned about `center` by `radians`, clockwise on screen.
    public func rotated<Failure: Error>(
        by radians: Double, about center: Point, _ body: () throws(Failure) -> Void
    ) throws(Failure) {
        cm_canvas_save(handle)
        defer { cm_canvas_restore(handle) }
        cm_canvas_translate(handle, center.x, center.y)
        cm_canvas_rotate(handle, radians)
        cm_canvas_translate(handle, -center.x, -center.y)
        try body()
    }

    // MARK: - text

    /// Draws one line of text with the start of its baseline at `baseline`, and says how much room it took.
    /// - Throws: `DrawingError.fontMissing` when the family is not installed and `.glyphsMissing` when it lacks
    ///   characters of the text: nothing is replaced silently.
    @discardableResult
    public func draw(_ text: String, at baseline: Point, font: Font, _ paint: Paint) throws(DrawingError) -> TextExtents
    {
        let line = try TextLine(text, font: font)
        use(paint)
        cm_text_draw(handle, line.handle, baseline.x, baseline.y)
        return line.extents
    }

    /// Draws a line that was already shaped, with the start of its baseline at `baseline`.
    public func draw(_ line: TextLine, at baseline: Point, _ paint: Paint) {
        use(paint)
        cm_text_draw(handle, line.handle, baseline.x, baseline.y)
    }

    // MARK: - results

    /// What has been drawn.
    /// - Throws: `DrawingError.cairo` when drawing failed on the way.
    public func image() throws(DrawingError) -> Image {
        try check()
        let count = width * height * 3
        let pixels = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            if let start = buffer.baseAddress { cm_canvas_read_rgb(handle, start) }
            filled = count
        }
        return Image(width: width, height: height, pixels: pixels)
    }

    /// What has been drawn, as a PNG file.
    public func png() throws(DrawingError) -> [UInt8] {
        try check()
        var count = 0
        guard let bytes = cm_canvas_png(handle, &count) else { throw .cairo("the PNG could not be written") }
        defer { free(bytes) }
        return [UInt8](UnsafeBufferPointer(start: bytes, count: count))
    }

    private func check() throws(DrawingError) {
        if let words = cm_canvas_error(handle) { throw .cairo(String(cString: words)) }
    }

    // MARK: - helpers

    private func trace(_ path: Path) {
        cm_canvas_new_path(handle)
        for element in path.elements {
            switch element {
            case .move(let point): cm_canvas_move(handle, point.x, point.y)
            case .line(let point): cm_canvas_line(handle, point.x, point.y)
            case .curve(let first, let second, let end):
                cm_canvas_curve(handle, first.x, first.y, second.x, second.y, end.x, end.y)
            case .close: cm_canvas_close(handle)
            }
        }
    }

    private func use(_ paint: Paint) {
        switch paint {
        case .color(let color): cm_canvas_set_color(handle, [color.red, color.green, color.blue, color.alpha])
        case .linear(let from, let to, let colors):
            cm_canvas_set_linear(handle, from.x, from.y, to.x, to.y, Self.stops(colors), colors.count)
        case .radial(let center, let radius, let colors):
            cm_canvas_set_radial(handle, center.x, center.y, radius, Self.stops(colors), colors.count)
        }
    }

    private static func stops(_ colors: [Color]) -> [Double] {
        colors.enumerated().flatMap { index, color in
            let offset = colors.count > 1 ? Double(index) / Double(colors.count - 1) : 0
            return [offset, color.red, color.green, color.blue, color.alpha]
        }
    }
}
