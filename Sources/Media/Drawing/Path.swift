#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Lines and cubic curves, as a value: it can be moved, turned, measured and drawn.
public struct Path: Sendable, Hashable {
    public enum Element: Sendable, Hashable {
        case move(Point)
        case line(Point)
        case curve(Point, Point, Point)
        case close
    }

    public private(set) var elements: [Element] = []

    public init() {}

    public mutating func move(_ x: Double, _ y: Double) { elements.append(.move(Point(x, y))) }
    public mutating func line(_ x: Double, _ y: Double) { elements.append(.line(Point(x, y))) }
    public mutating func curve(_ first: Point, _ second: Point, to end: Point) {
        elements.append(.curve(first, second, end))
    }
    public mutating func close() { elements.append(.close) }
    public mutating func append(_ other: Path) { elements += other.elements }

    // MARK: - shapes

    /// A straight line.
    public static func segment(_ from: Point, _ to: Point) -> Path {
        var path = Path()
        path.elements = [.move(from), .line(to)]
        return path
    }

    /// A closed polygon.
    public static func polygon(_ points: [Point]) -> Path {
        var path = Path()
        for (index, point) in points.enumerated() { path.elements.append(index == 0 ? .move(point) : .line(point)) }
        path.close()
        return path
    }

    public static func rectangle(_ frame: Rectangle) -> Path {
        polygon([
            Point(frame.x, frame.y), Point(frame.maxX, frame.y), Point(frame.maxX, frame.maxY),
            Point(frame.x, frame.maxY),
        ])
    }

    /// How far the control points of a quarter circle of radius 1 stand from its ends (error below 0.03 %).
    private static let quarter = 0.552_284_749_8

    /// The ellipse that fills `frame`.
    public static func ellipse(_ frame: Rectangle) -> Path {
        rounded(frame, radiusX: frame.width / 2, radiusY: frame.height / 2)
    }

    public static func circle(_ center: Point, radius: Double) -> Path {
        ellipse(Rectangle(x: center.x - radius, y: center.y - radius, width: 2 * radius, height: 2 * radius))
    }

    /// A rectangle with round corners; the radius is limited to half of the shorter side.
    public static func roundedRectangle(_ frame: Rectangle, radius: Double) -> Path {
        let limited = max(0, min(radius, min(frame.width, frame.height) / 2))
        return rounded(frame, radiusX: limited, radiusY: limited)
    }

    private static func rounded(_ frame: Rectangle, radiusX rx: Double, radiusY ry: Double) -> Path {
        let (cx, cy) = (rx * (1 - quarter), ry * (1 - quarter))
        let (left, top, right, bottom) = (frame.x, frame.y, frame.maxX, frame.maxY)
        var path = Path()
        path.move(left + rx, top)
        path.line(right - rx, top)
        path.curve(Point(right - cx, top), Point(right, top + cy), to: Point(right, top + ry))
        path.line(right, bottom - ry)
        path.curve(Point(right, bottom - cy), Point(right - cx, bottom), to: Point(right - rx, bottom))
        path.line(left + rx, bottom)
        path.curve(Point(left + cx, bottom), Point(left, bottom - cy), to: Point(left, bottom - ry))
        path.line(left, top + ry)
        path.curve(Point(left, top + cy), Point(left + cx, top), to: Point(left + rx, top))
        path.close()
        return path
    }

    /// A regular polygon, one corner straight up.
    public static func regular(_ corners: Int, center: Point, radius: Double) -> Path {
        star(corners * 2, center: center, radius: radius, inner: radius, step: 2)
    }

    /// A star with one point straight up; `inner` is the radius of its notches.
    public static func star(points: Int, center: Point, radius: Double, inner: Double) -> Path {
        star(points * 2, center: center, radius: radius, inner: inner, step: 1)
    }

    private static func star(_ corners: Int, center: Point, radius: Double, inner: Double, step: Int) -> Path {
        polygon(
            stride(from: 0, to: corners, by: step).map { corner in
                let angle = 2 * Double.pi * Double(corner) / Double(corners)
                let reach = corner % 2 == 0 ? radius : inner
                return Point(center.x + reach * sin(angle), center.y - reach * cos(angle))
            })
    }

    // MARK: - moving and measuring

    /// Scaled about the origin, then turned by `rotation` radians (clockwise on screen), then moved.
    public func transformed(scaleX: Double = 1, scaleY: Double = 1, rotation: Double = 0, x: Double = 0, y: Double = 0)
        -> Path
    {
        let (cosine, sine) = (cos(rotation), sin(rotation))
        func place(_ point: Point) -> Point {
            let (px, py) = (point.x * scaleX, point.y * scaleY)
            return Point(px * cosine - py * sine + x, px * sine + py * cosine + y)
        }
        var path = Path()
        path.elements = elements.map { element in
            switch element {
            case .move(let point): .move(place(point))
            case .line(let point): .line(place(point))
            case .curve(let first, let second, let end): .curve(place(first), place(second), place(end))
            case .close: .close
            }
        }
        return path
    }

    /// The smallest upright rectangle around the path; curves are measured exactly, by their extrema.
    public var bounds: Rectangle {
        var (minX, minY) = (Double.infinity, Double.infinity)
        var (maxX, maxY) = (-Double.infinity, -Double.infinity)
        func take(_ point: Point) {
            (minX, maxX) = (min(minX, point.x), max(maxX, point.x))
            (minY, maxY) = (min(minY, point.y), max(maxY, point.y))
        }
        var current = Point(0, 0)
        for element in elements {
            switch element {
            case .move(let point), .line(let point):
                take(point)
                current = point
            case .curve(let first, let second, let end):
                take(end)
                for x in Self.extrema(current.x, first.x, second.x, end.x) {
                    (minX, maxX) = (min(minX, x), max(maxX, x))
                }
                for y in Self.extrema(current.y, first.y, second.y, end.y) {
                    (minY, maxY) = (min(minY, y), max(maxY, y))
                }
                current = end
            case .close: break
            }
        }
        guard minX <= maxX else { return Rectangle(x: 0, y: 0, width: 0, height: 0) }
        return Rectangle(x: minX, y: minY, width: maxX - minX, height: maxY - minY)
    }

    /// The values of a cubic Bézier where its derivative is zero, inside the curve.
    private static func extrema(_ p0: Double, _ p1: Double, _ p2: Double, _ p3: Double) -> [Double] {
        let a = p3 - 3 * p2 + 3 * p1 - p0
        let b = 2 * (p2 - 2 * p1 + p0)
        let c = p1 - p0
        var roots: [Double] = []
        if abs(a) < 1e-12 {
            if abs(b) > 1e-12 { roots = [-c / b] }
        } else {
            let discriminant = b * b - 4 * a * c
            guard discriminant >= 0 else { return [] }
            let root = discriminant.squareRoot()
            roots = [(-b + root) / (2 * a), (-b - root) / (2 * a)]
        }
        return roots.filter { $0 > 0 && $0 < 1 }.map { t in
            let s = 1 - t
            return s * s * s * p0 + 3 * s * s * t * p1 + 3 * s * t * t * p2 + t * t * t * p3
        }
    }
}
