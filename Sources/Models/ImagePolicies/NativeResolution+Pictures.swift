public import Torch

extension NativeResolution {
    public var patchesPerFeature: Int? { mergeSize }

    /// The frames that an item's patches were cut from, `[frames, 3, height, width]`, normalised; a picture is one frame.
    public func pictures(_ item: VisualItem) throws -> Tensor {
        let grid = try item.patchGrid(), merge = mergeSize, patch = patchSize
        let rows = grid.height / merge, columns = grid.width / merge
        // Rows and columns of the patches as `patches` writes them.
        let frames = try item.pixels
            .reshape([grid.time, rows, columns, merge, merge, 3, temporalPatchSize, patch, patch])
            .permute(0, 6, 5, 1, 3, 7, 2, 4, 8)
            .reshape([grid.time * temporalPatchSize, 3, grid.height * patch, grid.width * patch])
        return item.kind == .image ? try frames.slice(0, 0..<1) : frames
    }
}
