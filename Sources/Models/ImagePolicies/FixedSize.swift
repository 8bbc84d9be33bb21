public import Media

/// One square of fixed size per picture.
public struct FixedSize: TilePolicy, Hashable {
    public var tile: TileShape
    public var resolution: FixedResolution

    /// - Parameter fit: what happens to pictures that are no squares.
    public init(_ tile: TileShape, fit: FixedResolution.Fit = .stretch, filter: ResizeFilter = .bicubic) {
        self.tile = tile
        resolution = FixedResolution(
            width: tile.size, height: tile.size, fit: fit, normalization: tile.normalization, filter: filter)
    }

    private let grid = TileGrid(columns: 1, rows: 1, hasThumbnail: false)

    public func layout(width: Int, height: Int) throws -> VisualLayout { .tiles(grid) }

    public func featureCount(_ layout: VisualLayout) -> Int { tile.features }

    public func item(_ image: Image) throws -> VisualItem {
        try tile.item(grid, [TileShape.Place(resolution.fitted(image))], of: image)
    }
}
