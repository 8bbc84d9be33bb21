/// Resizes planes of floats (`[planes, height, width]`, row-major) as torch's `interpolate(align_corners=False)` does
/// without antialiasing: the kernel keeps its width when it shrinks; bicubic has a = -0.75, and borders are repeated.
///
/// - Parameter filter: `bilinear` or `bicubic`.
/// - Throws: `MediaError.invalidRequest` for other filters, or sizes that the planes do not have.
public func interpolatePlanes(
    _ planes: [Float], width: Int, height: Int, to newWidth: Int, _ newHeight: Int, filter: ResizeFilter = .bicubic
) throws(MediaError) -> [Float] {
    let name = "planes of \(width)×\(height)"
    guard filter == .bilinear || filter == .bicubic else {
        throw .invalidRequest(name: name, reason: "torch interpolates bilinearly and bicubically, not by '\(filter)'")
    }
    let sides = 1...(1 << 20)
    guard sides.contains(width), sides.contains(height), !planes.isEmpty, planes.count.isMultiple(of: width * height),
        sides.contains(newWidth), sides.contains(newHeight), newWidth * newHeight <= 1 << 31
    else { throw .invalidRequest(name: name, reason: "they cannot be resized to \(newWidth)×\(newHeight)") }
    let columns = Taps.all(from: width, to: newWidth, filter), rows = Taps.all(from: height, to: newHeight, filter)
    var result: [Float] = []
    result.reserveCapacity(planes.count / (width * height) * newWidth * newHeight)
    for start in stride(from: 0, to: planes.count, by: width * height) {
        for row in rows {
            for column in columns {
                var sum: Float = 0
                for (y, vertical) in zip(row.places, row.weights) {
                    var line: Float = 0
                    for (x, horizontal) in zip(column.places, column.weights) {
                        line += planes[start + y * width + x] * horizontal
                    }
                    sum += line * vertical
                }
                result.append(sum)
            }
        }
    }
    return result
}

/// The source elements of one result element along one side, and their shares.
private struct Taps {
    let places: [Int]
    let weights: [Float]

    static func all(from size: Int, to newSize: Int, _ filter: ResizeFilter) -> [Taps] {
        let scale = Float(size) / Float(newSize)
        return (0..<newSize).map { index in
            let centre = (Float(index) + 0.5) * scale - 0.5
            guard filter == .bicubic else {
                let place = max(centre, 0), first = min(Int(place), size - 1), share = min(place - Float(first), 1)
                return Taps(places: [first, min(first + 1, size - 1)], weights: [1 - share, share])
            }
            let first = centre.rounded(.down), share = centre - first
            return Taps(
                places: (-1...2).map { min(max(Int(first) + $0, 0), size - 1) },
                weights: [outer(share + 1), inner(share), inner(1 - share), outer(2 - share)])
        }
    }

    private static let a: Float = -0.75
    private static func inner(_ x: Float) -> Float { ((a + 2) * x - (a + 3)) * x * x + 1 }
    private static func outer(_ x: Float) -> Float { ((a * x - 5 * a) * x + 8 * a) * x - 4 * a }
}
