public import Media

/// A place in a picture that an answer names.
public struct GroundedRegion: Sendable, Hashable {
    public enum Shape: Sendable, Hashable {
        case box(GroundingBox)
        /// Four corners in order, as they stand around a line of text.
        case quad([SIMD2<Int>])
        case point(SIMD2<Int>)
    }

    /// What is there; nil where the answer gives a place alone.
    public var name: String?
    /// In thousandths of the picture's sides.
    public var shape: Shape

    public init(name: String?, shape: Shape) {
        self.name = name
        self.shape = shape
    }

    /// Corners in pixels of a picture of the given size, cut at its edges: four of a box (clockwise from the first) and
    /// of a quad, one of a point.
    public func corners(width: Int, height: Int) -> [Point] {
        let corners: [SIMD2<Int>] =
            switch shape {
            case .box(let box):
                [
                    SIMD2(box.x1, box.y1), SIMD2(box.x2, box.y1), SIMD2(box.x2, box.y2), SIMD2(box.x1, box.y2),
                ]
            case .quad(let corners): corners
            case .point(let point): [point]
            }
        return corners.map { corner in
            Point(
                min(Double(corner.x) * Double(width) / 1000, Double(width)),
                min(Double(corner.y) * Double(height) / 1000, Double(height)))
        }
    }

    /// The smallest upright box around it, in pixels of a picture of the given size.
    public func bounds(width: Int, height: Int) -> Rectangle {
        let corners = corners(width: width, height: height)
        let (xs, ys) = (corners.map(\.x), corners.map(\.y))
        let (left, top) = (xs.min() ?? 0, ys.min() ?? 0)
        return Rectangle(x: left, y: top, width: (xs.max() ?? left) - left, height: (ys.max() ?? top) - top)
    }
}
