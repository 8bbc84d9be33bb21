import Models
import Testing
import Torch

@Suite struct PixelShuffleTests {
    @Test(arguments: PixelShuffleProjector.Version.allCases, [1, 2, 3])
    func hasAnInverse(_ version: PixelShuffleProjector.Version, _ factor: Int) throws {
        let cells = 2, side = cells * factor, tiles = 3, width = 5
        let values = (0..<tiles * side * side * width).map { Float($0) }
        let x = try Tensor(values, shape: [tiles, side * side, width])
        let shuffled = try x.pixelShuffled(factor: factor, version)
        #expect(shuffled.shape == [tiles * cells * cells, factor * factor * width])
        let cut = try shuffled.reshape([tiles, cells, cells, factor, factor, width])
        let back = try version == .v2 ? cut.permute(0, 1, 3, 2, 4, 5) : cut.permute(0, 2, 3, 1, 4, 5)
        #expect(try back.reshape(x.shape).isEqual(to: x))
    }

    /// `common.md` 6.1: a cell holds (2i, 2j), (2i, 2j+1), (2i+1, 2j), (2i+1, 2j+1).
    @Test func theOrderOfACell() throws {
        let x = try Tensor((0..<16).map { Float($0) }, shape: [1, 16, 1])
        #expect(try x.pixelShuffled(factor: 2).integers() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15])
        #expect(
            try x.pixelShuffled(factor: 2, .v1).integers() == [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15])
    }
}
