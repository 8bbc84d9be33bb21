/// Qwen2-VL's three-part positions (section 2.1 of the paper; `get_rope_index` of the reference).
///
/// Text advances all three parts together. A visual item spreads over time, rows and columns from the next position on,
/// and text goes on behind the largest of them.
struct MultimodalPositions {
    /// The position of the next token of text.
    private(set) var next: Int32 = 0

    mutating func text() -> SIMD3<Int32> {
        defer { next += 1 }
        return SIMD3(repeating: next)
    }

    /// Positions of an item's tokens, time by time, row by row; `grid` counts patches, of which `mergeSize` a side
    /// become one token.
    mutating func item(_ grid: PatchGrid, mergeSize: Int) -> [SIMD3<Int32>] {
        let rows = grid.height / mergeSize, columns = grid.width / mergeSize
        var positions: [SIMD3<Int32>] = []
        positions.reserveCapacity(grid.time * rows * columns)
        for time in 0..<grid.time {
            for row in 0..<rows {
                for column in 0..<columns {
                    positions.append(SIMD3(next + Int32(time), next + Int32(row), next + Int32(column)))
                }
            }
        }
        next += Int32(max(grid.time, rows, columns))
        return positions
    }
}
