public import Media

/// InternVL's and NVLM's dynamic high resolution: the grid of tiles whose shape is nearest to the picture's, and a
/// thumbnail (`dynamic_preprocess` of internvl_chat; NVLM section 3.1).
public struct DynamicTiling: TilePolicy, Hashable {
    public var tile: TileShape
    /// Tiles without the thumbnail.
    public var tiles: ClosedRange<Int>
    /// Whether a picture of several tiles also gets a tile of the whole.
    public var usesThumbnail: Bool

    public init(_ tile: TileShape, tiles: ClosedRange<Int>, usesThumbnail: Bool = true) {
        self.tile = tile
        self.tiles = tiles
        self.usesThumbnail = usesThumbnail
    }

    /// More tiles than that would be a mistake: the grids to choose from grow with their square.
    public static let limit = 1024

    public var maxTiles: Int? { tiles.upperBound }

    public func limitingTiles(_ max: Int) throws -> DynamicTiling {
        guard (1...Self.limit).contains(max) else {
            throw ProcessingError.unsupported("a picture is cut into 1 to \(Self.limit) tiles, not \(max)")
        }
        var policy = self
        policy.tiles = min(tiles.lowerBound, max)...max
        return policy
    }

    /// Columns and rows for a picture of this size.
    ///
    /// Grids are looked at by their area. One whose shape is nearer to the picture's wins; of equally near ones the later
    /// wins if the picture has more than half of its pixels.
    public func grid(width: Int, height: Int) throws -> TileGrid {
        guard width > 0, height > 0, max(width, height) <= 1 << 20 else {
            throw ProcessingError.imageSize(
                width: width, height: height, reason: "a side must have 1 to \(1 << 20) pixels")
        }
        let ratio = Double(width) / Double(height)
        var best = (columns: 1, rows: 1), bestDifference = Double.infinity
        for (columns, rows) in grids {
            let difference = abs(ratio - Double(columns) / Double(rows))
            if difference < bestDifference {
                bestDifference = difference
                best = (columns, rows)
            } else if difference == bestDifference,
                Double(width * height) > 0.5 * Double(tile.size * tile.size * columns * rows)
            {
                best = (columns, rows)
            }
        }
        return TileGrid(
            columns: best.columns, rows: best.rows, hasThumbnail: usesThumbnail && best.columns * best.rows > 1)
    }

    /// All grids to choose from, by their area. The order within an area never decides for the numbers of tiles in use
    /// (`internvl2.md` 4.1).
    public var grids: [(columns: Int, rows: Int)] {
        tiles.flatMap { area in
            (1...area).filter { area.isMultiple(of: $0) }.map { (columns: $0, rows: area / $0) }
        }
    }

    public func layout(width: Int, height: Int) throws -> VisualLayout {
        .tiles(try grid(width: width, height: height))
    }

    public func featureCount(_ layout: VisualLayout) -> Int {
        guard case .tiles(let grid) = layout else { return 0 }
        return grid.count * tile.features
    }

    public func item(_ image: Image) throws -> VisualItem {
        let grid = try grid(width: image.width, height: image.height), size = tile.size
        let resized = try image.resized(width: size * grid.columns, height: size * grid.rows, filter: .bicubic)
        var places = (0..<grid.columns * grid.rows).map { index in
            TileShape.Place(resized, left: index % grid.columns * size, top: index / grid.columns * size)
        }
        if grid.hasThumbnail {
            places.append(TileShape.Place(try image.resized(width: size, height: size, filter: .bicubic)))
        }
        return try tile.item(grid, places, of: image)
    }
}
