public import Media

/// POINTS 1.0's CATTY: overlapping windows over a picture that keeps its shape, and always a thumbnail (arXiv 2409.04828;
/// `split_image_with_catty` of WePOINTS, which the paper's equation 1 contradicts).
public struct AspectTiling: TilePolicy, Hashable {
    public var tile: TileShape
    /// Windows without the thumbnail.
    public var maxWindows: Int

    public init(_ tile: TileShape, maxWindows: Int = 8) {
        self.tile = tile
        self.maxWindows = maxWindows
    }

    public var maxTiles: Int? { maxWindows }

    public func limitingTiles(_ max: Int) throws -> AspectTiling {
        guard (1...DynamicTiling.limit).contains(max) else {
            throw ProcessingError.unsupported("a picture is cut into 1 to \(DynamicTiling.limit) tiles, not \(max)")
        }
        var policy = self
        policy.maxWindows = max
        return policy
    }

    /// What is done to a picture.
    public struct Plan: Sendable, Hashable {
        /// A shape that is too long is squeezed to this size first.
        public var squeezedWidth: Int
        public var squeezedHeight: Int
        public var resizedWidth: Int
        public var resizedHeight: Int
        public var columns: Int
        public var rows: Int
        public var strideX: Int
        public var strideY: Int
    }

    public func plan(width: Int, height: Int) throws -> Plan {
        guard width > 0, height > 0, max(width, height) <= 1 << 20 else {
            throw ProcessingError.imageSize(
                width: width, height: height, reason: "a side must have 1 to \(1 << 20) pixels")
        }
        var (width, height) = (width, height)
        let limit = Double(maxWindows), size = tile.size
        if Double(width) / Double(height) > limit {
            width = maxWindows * height
        } else if Double(width) / Double(height) < 1 / limit {
            height = maxWindows * width
        }
        let ratio = Double(width) / Double(height)
        let wide = Double(width) / Double(size), high = Double(height) / Double(size)
        let (columns, rows) = Self.grid(ratio: ratio, area: wide * high, maxWindows: maxWindows)
        var resized: (width: Int, height: Int)
        if wide < high {
            resized.width = columns * size
            resized.height = Int(Double(height) / Double(width) * Double(resized.width))
        } else {
            resized.height = rows * size
            resized.width = Int(Double(width) / Double(height) * Double(resized.height))
        }
        // Truncation may take the one pixel that a window lacks.
        resized = (max(resized.width, size), max(resized.height, size))
        func stride(_ side: Int, _ count: Int) -> Int {
            let stride = count > 1 ? (side - size) / (count - 1) : 0
            return stride == 0 ? size : stride
        }
        return Plan(
            squeezedWidth: width, squeezedHeight: height, resizedWidth: resized.width, resizedHeight: resized.height,
            columns: columns, rows: rows, strideX: stride(resized.width, columns),
            strideY: stride(resized.height, rows))
    }

    /// The grid whose shape is nearest to the picture's, on the side away from a square, and of grids of one shape the one
    /// nearest to its area in tiles. The first of equals wins, in the order of the reference's table.
    private static func grid(ratio: Double, area: Double, maxWindows: Int) -> (columns: Int, rows: Int) {
        var shapes: [Double] = []
        var grids: [Double: [(columns: Int, rows: Int)]] = [:]
        for count in 1...maxWindows {
            for columns in 1...count where count.isMultiple(of: columns) {
                let rows = count / columns, shape = Double(columns) / Double(rows)
                if grids[shape] == nil { shapes.append(shape) }
                grids[shape, default: []].append((columns, rows))
            }
        }
        let allowed = shapes.filter { ratio < 1 ? $0 <= ratio : ratio > 1 ? $0 >= ratio : true }
        let shape = allowed.min { abs($0 - ratio) < abs($1 - ratio) } ?? 1
        func distance(_ grid: (columns: Int, rows: Int)) -> Double { abs(Double(grid.columns * grid.rows) - area) }
        return (grids[shape] ?? []).min { distance($0) < distance($1) } ?? (1, 1)
    }

    /// Top left corners of the windows, row by row.
    private func corners(_ plan: Plan) -> [(left: Int, top: Int)] {
        stride(from: 0, through: plan.resizedHeight - tile.size, by: plan.strideY).flatMap { top in
            stride(from: 0, through: plan.resizedWidth - tile.size, by: plan.strideX).map { (left: $0, top: top) }
        }
    }

    public func layout(width: Int, height: Int) throws -> VisualLayout {
        let plan = try plan(width: width, height: height)
        return .tiles(grid(of: plan))
    }

    /// The windows that the strides give, which truncation may make more than the plan's.
    private func grid(of plan: Plan) -> TileGrid {
        TileGrid(
            columns: (plan.resizedWidth - tile.size) / plan.strideX + 1,
            rows: (plan.resizedHeight - tile.size) / plan.strideY + 1, hasThumbnail: true)
    }

    public func featureCount(_ layout: VisualLayout) -> Int {
        guard case .tiles(let grid) = layout else { return 0 }
        return grid.count * tile.features
    }

    public func item(_ image: Image) throws -> VisualItem {
        let plan = try plan(width: image.width, height: image.height)
        let squeezed = try image.resized(
            width: plan.squeezedWidth, height: plan.squeezedHeight, filter: .bilinear)
        let resized = try squeezed.resized(
            width: plan.resizedWidth, height: plan.resizedHeight, filter: .bilinear)
        var places = corners(plan).map { TileShape.Place(resized, left: $0.left, top: $0.top) }
        places.append(
            TileShape.Place(try resized.resized(width: tile.size, height: tile.size, filter: .bilinear)))
        return try tile.item(grid(of: plan), places, of: image)
    }
}
