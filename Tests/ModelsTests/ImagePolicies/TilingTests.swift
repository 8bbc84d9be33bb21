import Media
import ModelTestSupport
import Models
import Testing
import Torch

@Suite struct TilingTests {
    /// Tiles whose values are the picture's bytes.
    private func shape(_ size: Int) -> TileShape {
        TileShape(
            size: size, patchSize: 4, features: 4,
            normalization: PixelNormalization(mean: [0, 0, 0], deviation: [1, 1, 1], rescale: 1))
    }

    @Test(arguments: [(50, 30), (16, 16), (17, 90), (120, 40)])
    func tilesCoverThePictureExactly(_ width: Int, _ height: Int) throws {
        let policy = DynamicTiling(shape(16), tiles: 1...6),
            picture = Image.noise(width: width, height: height, seed: 2)
        let item = try policy.item(picture), grid = try item.tileGrid()
        let whole = try picture.resized(width: 16 * grid.columns, height: 16 * grid.rows, filter: .bicubic)
        // [rows, row in tile, columns, column in tile, channel]
        let tiles = try item.pixels.slice(0, 0..<grid.columns * grid.rows)
            .reshape([grid.rows, grid.columns, 3, 16, 16]).permute(0, 3, 1, 4, 2)
        #expect(try tiles.reshape([-1]).integers() == whole.pixels.map(Int.init))
        guard grid.hasThumbnail else { return }
        let thumbnail = try picture.resized(width: 16, height: 16, filter: .bicubic)
        let last = try item.pixels.select(0, grid.count - 1).permute(1, 2, 0).reshape([-1])
        #expect(try last.integers() == thumbnail.pixels.map(Int.init))
    }

    /// `internvl2.md` 4.1, and a limit of 40 tiles.
    @Test(arguments: [
        (640, 480, 12, 4, 3), (1267, 634, 12, 4, 2), (1268, 633, 12, 2, 1), (633, 633, 12, 1, 1), (634, 634, 12, 2, 2),
        (1340, 1340, 12, 3, 3), (200, 2000, 12, 1, 10), (640, 480, 6, 3, 2), (3000, 500, 6, 6, 1),
        (4480, 1792, 40, 10, 4),
    ]) func grids(_ width: Int, _ height: Int, _ limit: Int, _ columns: Int, _ rows: Int) throws {
        let grid = try DynamicTiling(shape(448), tiles: 1...limit).grid(width: width, height: height)
        #expect(grid.columns == columns && grid.rows == rows && grid.hasThumbnail == (columns * rows > 1))
    }

    /// `points.md` A3.1: columns, rows, resized size, strides, windows with the thumbnail.
    @Test(arguments: [
        (336, 336, [1, 1, 336, 336, 336, 336], 2), (640, 480, [3, 2, 896, 672, 280, 336], 7),
        (480, 640, [2, 3, 672, 896, 336, 280], 7), (1920, 1080, [4, 2, 1194, 672, 286, 336], 9),
        (1000, 1000, [2, 2, 672, 672, 336, 336], 5), (1000, 990, [3, 2, 678, 672, 171, 336], 7),
    ]) func aspectTiling(_ width: Int, _ height: Int, _ expected: [Int], _ windows: Int) throws {
        let policy = AspectTiling(shape(336)), plan = try policy.plan(width: width, height: height)
        let found = [plan.columns, plan.rows, plan.resizedWidth, plan.resizedHeight, plan.strideX, plan.strideY]
        #expect(found == expected)
        guard case .tiles(let grid) = try policy.layout(width: width, height: height) else { return }
        #expect(grid.count == windows && grid.hasThumbnail)
    }

    @Test func longShapesAreSqueezedFirst() throws {
        let policy = AspectTiling(shape(336))
        for (width, height, columns, rows) in [(3000, 300, 8, 1), (200, 2000, 1, 8)] {
            let plan = try policy.plan(width: width, height: height)
            #expect(plan.columns == columns && plan.rows == rows)
            #expect(
                max(plan.resizedWidth, plan.resizedHeight) == 2688 && min(plan.resizedWidth, plan.resizedHeight) == 336)
        }
    }

    @Test func windowsAreWhereTheyShouldBe() throws {
        let policy = AspectTiling(shape(16)), picture = Image.noise(width: 40, height: 30, seed: 6)
        let plan = try policy.plan(width: 40, height: 30), item = try policy.item(picture)
        let resized = try picture.resized(width: plan.resizedWidth, height: plan.resizedHeight, filter: .bilinear)
        let columns = try item.tileGrid().columns
        for tile in 0..<item.tileCount - 1 {
            let left = tile % columns * plan.strideX, top = tile / columns * plan.strideY
            let cut = try resized.cropped(x: left, y: top, width: 16, height: 16)
            let pixels = try item.pixels.select(0, tile).permute(1, 2, 0).reshape([-1])
            #expect(try pixels.integers() == cut.pixels.map(Int.init), "tile \(tile)")
        }
    }
}
