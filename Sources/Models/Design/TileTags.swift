/// The words that tell the decoder which tile comes (NVLM section 3.1 and table 2). They are ordinary text, no special
/// tokens.
public enum TileTags: Sendable, Hashable {
    case none
    /// `<tile_1>` to `<tile_k>` and, for the thumbnail or a picture's only tile, `thumbnail`.
    case numbered(thumbnail: String)
    /// Column and row from 0 on: `<tile_x0_y0>`.
    case grid(thumbnail: String)
    /// Corners in pixels of the resized picture: `<box> (x0, y0), (x1, y1) </box>`; the thumbnail's are the whole.
    case boundingBox(tileSize: Int)

    /// The tag of a tile; empty for none.
    public func tag(_ index: Int, in grid: TileGrid) -> String {
        let isWhole = index == grid.columns * grid.rows || grid.count == 1
        let column = index % grid.columns, row = index / grid.columns
        switch self {
        case .none: return ""
        case .numbered(let thumbnail): return isWhole ? thumbnail : "<tile_\(index + 1)>"
        case .grid(let thumbnail): return isWhole ? thumbnail : "<tile_x\(column)_y\(row)>"
        case .boundingBox(let size):
            let left = isWhole ? 0 : column * size, top = isWhole ? 0 : row * size
            let right = isWhole ? grid.columns * size : left + size, bottom = isWhole ? grid.rows * size : top + size
            return "<box> (\(left), \(top)), (\(right), \(bottom)) </box>"
        }
    }
}
