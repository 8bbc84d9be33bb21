public import Torch

/// Rows and columns of patches, and steps of time: `(t, h, w)` of the published processors.
public struct PatchGrid: Sendable, Hashable {
    public var time: Int
    public var height: Int
    public var width: Int

    public init(time: Int, height: Int, width: Int) {
        self.time = time
        self.height = height
        self.width = width
    }

    public var count: Int { time * height * width }
}

/// Crops of one size, row by row, and behind them a small picture of the whole.
public struct TileGrid: Sendable, Hashable {
    public var columns: Int
    public var rows: Int
    /// Whether the last tile is the whole picture.
    public var hasThumbnail: Bool

    public init(columns: Int, rows: Int, hasThumbnail: Bool) {
        self.columns = columns
        self.rows = rows
        self.hasThumbnail = hasThumbnail
    }

    /// Tiles with the thumbnail.
    public var count: Int { columns * rows + (hasThumbnail ? 1 : 0) }
}

/// How a picture is cut up for the vision tower.
public enum VisualLayout: Sendable, Hashable {
    /// Patches of the whole picture at its own resolution; pixels are `[patches, channels × temporal × patch × patch]`.
    case patches(PatchGrid)
    /// Tiles of one size, each seen by itself; pixels are `[tiles, 3, size, size]`.
    case tiles(TileGrid)
}

/// A picture or a video as a vision tower takes it.
public struct VisualItem: Sendable {
    public enum Kind: Sendable, Hashable { case image, video }

    public var kind: Kind
    public var layout: VisualLayout
    /// Normalised float32, in the shape that the layout says and the order that the tower expects.
    public var pixels: Tensor
    /// Size of the picture before any resizing, in pixels.
    public var originalWidth: Int
    public var originalHeight: Int
    /// Patches that the tower works on, by which batches are limited.
    public var patchCount: Int
    /// Features that the vision part gives for it.
    public var featureCount: Int
    /// For each tile, from the first on, whose features gated cross-attention sees instead of the sequence: ids of the
    /// words that stand before them.
    public var memoryTags: [[Int32]]

    public init(
        kind: Kind, layout: VisualLayout, pixels: Tensor, originalWidth: Int, originalHeight: Int, patchCount: Int,
        featureCount: Int, memoryTags: [[Int32]] = []
    ) {
        self.kind = kind
        self.layout = layout
        self.pixels = pixels
        self.originalWidth = originalWidth
        self.originalHeight = originalHeight
        self.patchCount = patchCount
        self.featureCount = featureCount
        self.memoryTags = memoryTags
    }

    /// Tiles; the steps of time of patches.
    public var tileCount: Int {
        switch layout {
        case .patches(let grid): grid.time
        case .tiles(let grid): grid.count
        }
    }

    /// Features of each tile.
    public var featuresPerTile: Int { featureCount / max(tileCount, 1) }
    /// Features that stand in the sequence: the last ones.
    public var tokenCount: Int { featureCount - memoryTags.count * featuresPerTile }
    /// Columns of gated cross-attention: tags and features.
    public var columnCount: Int { memoryTags.reduce(0) { $0 + $1.count + featuresPerTile } }

    /// The grid of patches.
    ///
    /// - Throws: `ProcessingError.unsupported` for tiles: the processor is of another model than the tower.
    public func patchGrid() throws -> PatchGrid {
        guard case .patches(let grid) = layout else {
            throw ProcessingError.unsupported("this vision tower takes patches of whole pictures, not tiles")
        }
        return grid
    }

    /// The grid of tiles.
    ///
    /// - Throws: `ProcessingError.unsupported` for patches: the processor is of another model than the tower.
    public func tileGrid() throws -> TileGrid {
        guard case .tiles(let grid) = layout else {
            throw ProcessingError.unsupported("this vision tower takes tiles, not patches of whole pictures")
        }
        return grid
    }
}
