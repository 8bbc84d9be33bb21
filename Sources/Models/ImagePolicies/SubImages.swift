public import Media

/// MM1's sub-images (section 4.2, after SPHINX): the picture as a square of several tiles a side, and behind them a small
/// picture of the whole. The paper does not say whether the whole comes first; here it is last, as in InternVL2 and NVLM.
public struct SubImages: TilePolicy, Hashable {
    public var tile: TileShape
    /// Tiles a side.
    public var side: Int
    public var filter: ResizeFilter

    public init(_ tile: TileShape, side: Int = 2, filter: ResizeFilter = .bicubic) {
        self.tile = tile
        self.side = side
        self.filter = filter
    }

    private var grid: TileGrid { TileGrid(columns: side, rows: side, hasThumbnail: true) }

    public func layout(width: Int, height: Int) throws -> VisualLayout { .tiles(grid) }

    public func featureCount(_ layout: VisualLayout) -> Int { grid.count * tile.features }

    public func item(_ image: Image) throws -> VisualItem {
        let large = try image.resized(width: tile.size * side, height: tile.size * side, filter: filter)
        let whole = try image.resized(width: tile.size, height: tile.size, filter: filter)
        let places = (0..<side * side).map { place in
            TileShape.Place(large, left: place % side * tile.size, top: place / side * tile.size)
        }
        return try tile.item(grid, places + [TileShape.Place(whole)], of: image)
    }
}
