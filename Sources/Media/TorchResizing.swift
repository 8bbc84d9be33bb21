extension Image {
    /// The picture at another size, equal to the last bit to torchvision's `resize(antialias=True)` of a tensor of bytes.
    ///
    /// It differs from `resized` by a few grey levels at most: torch keeps a side's weights in 16 bits, with as many of
    /// them behind the point as the largest weight leaves.
    ///
    /// - Parameter filter: `bilinear` or `bicubic`.
    /// - Throws: `MediaError.invalidRequest` for other filters, or a size that is below 1×1 or absurd.
    public func resizedAsTorch(
        width newWidth: Int, height newHeight: Int, filter: ResizeFilter = .bicubic
    ) throws(MediaError) -> Image {
        let name = "picture of \(width)×\(height)"
        guard filter == .bilinear || filter == .bicubic else {
            throw .invalidRequest(name: name, reason: "torch has no antialiased '\(filter)' filter")
        }
        let sides = 1...(1 << 20)
        guard sides.contains(newWidth), sides.contains(newHeight), newWidth * newHeight <= 1 << 31 else {
            throw .invalidRequest(name: name, reason: "it cannot be resized to \(newWidth)×\(newHeight)")
        }
        var result = pixels
        if newWidth != width {
            let weights = SideWeights(from: width, to: newWidth, filter)
            result = weights.apply(result, lines: height, lineStep: width * 3, items: 3, elementStep: 3)
        }
        if newHeight != height {
            let weights = SideWeights(from: height, to: newHeight, filter)
            result = weights.apply(
                result, lines: 1, lineStep: 0, items: newWidth * 3, elementStep: newWidth * 3)
        }
        return Image(width: newWidth, height: newHeight, pixels: result)
    }
}

/// The 16-bit weights of one side.
private struct SideWeights {
    private let starts: [Int]
    private let weights: [[Int32]]
    private let precision: Int32

    init(from size: Int, to newSize: Int, _ filter: ResizeFilter) {
        let scale = Double(size) / Double(newSize), stretch = max(scale, 1)
        let support = (filter == .bicubic ? 2 : 1) * stretch
        var starts: [Int] = [], exact: [[Double]] = []
        for index in 0..<newSize {
            let centre = scale * (Double(index) + 0.5)
            let start = max(Int(centre - support + 0.5), 0)
            let end = min(Int(centre + support + 0.5), size)
            let values = (start..<end).map { place in
                let distance = abs((Double(place) - centre + 0.5) / stretch)
                return filter == .bicubic ? Self.cubic(distance) : max(0, 1 - distance)
            }
            let total = values.reduce(0, +)
            starts.append(start)
            exact.append(total == 0 ? values : values.map { $0 / total })
        }
        let largest = exact.reduce(0) { $1.reduce($0, max) }
        var bits: Int32 = 0
        while bits < 22, Int(0.5 + largest * Double(1 << (bits + 1))) < 1 << 15 { bits += 1 }
        self.starts = starts
        precision = bits
        weights = exact.map { row in
            row.map { value in
                let scaled = value * Double(1 << bits)
                return Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
            }
        }
    }

    /// Keys' kernel with a = -0.5.
    private static func cubic(_ x: Double) -> Double {
        if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
        return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
    }

    /// Sums along one side. Elements of the side stand `elementStep` apart; each line holds `items` of them side by side.
    func apply(
        _ pixels: [UInt8], lines: Int, lineStep: Int, items: Int, elementStep: Int
    ) -> [UInt8] {
        let half: Int32 = precision > 0 ? 1 << (precision - 1) : 0
        var result: [UInt8] = []
        result.reserveCapacity(lines * starts.count * items)
        for line in 0..<lines {
            for (start, row) in zip(starts, weights) {
                for item in 0..<items {
                    var place = line * lineStep + start * elementStep + item
                    var sum = half
                    for weight in row {
                        sum += weight * Int32(pixels[place])
                        place += elementStep
                    }
                    result.append(UInt8(clamping: sum >> precision))
                }
            }
        }
        return result
    }
}
