public import Torch

/// Pictures cut into patches, one picture after another, as a vision transformer takes them.
public struct PatchBatch: Sendable {
    /// `[patches of all pictures, channels × patch × patch]`: each patch in the order channel, row, column; the patches
    /// of a picture row by row, those that were dropped left out.
    public var patches: Tensor
    /// Rows and columns of each picture before any were dropped.
    public var grids: [PatchGrid]
    /// For each picture the places (row × columns + column) of the patches that are there; nil where all are.
    public var kept: [[Int]]?

    public init(patches: Tensor, grids: [PatchGrid], kept: [[Int]]? = nil) {
        precondition(kept == nil || kept?.count == grids.count, "a list of places for each picture")
        self.patches = patches
        self.grids = grids
        self.kept = kept
    }

    /// Cuts pictures of one size, `[pictures, channels, height, width]`. What is left over at the right and the bottom
    /// is not seen, as by a convolution without padding.
    public init(_ pixels: Tensor, patchSize: Int) throws {
        guard pixels.rank == 4, pixels.size(2) >= patchSize, pixels.size(3) >= patchSize else {
            throw ProcessingError.unsupported(
                "pixels of shape \(pixels.shape) cannot be cut into patches of \(patchSize)×\(patchSize); "
                    + "give [pictures, channels, height, width] of at least one patch")
        }
        let pictures = pixels.size(0), channels = pixels.size(1)
        let rows = pixels.size(2) / patchSize, columns = pixels.size(3) / patchSize
        let whole = try pixels.slice(2, 0..<rows * patchSize).slice(3, 0..<columns * patchSize)
        patches = try whole.reshape([pictures, channels, rows, patchSize, columns, patchSize])
            .permute(0, 2, 4, 1, 3, 5).reshape([pictures * rows * columns, channels * patchSize * patchSize])
        grids = Array(repeating: PatchGrid(time: 1, height: rows, width: columns), count: pictures)
        kept = nil
    }

    /// Cuts pictures of any sizes, each `[channels, height, width]`.
    public init(pictures: [Tensor], patchSize: Int) throws {
        let batches = try pictures.map { try PatchBatch($0.unsqueeze(0), patchSize: patchSize) }
        patches = try Tensor.cat(batches.map(\.patches))
        grids = batches.flatMap(\.grids)
        kept = nil
    }

    /// Patches of each picture that are there.
    public var counts: [Int] { kept?.map(\.count) ?? grids.map(\.count) }

    /// Row and column of each patch, in the order of `patches`.
    var places: [(row: Int, column: Int, grid: PatchGrid)] {
        grids.enumerated().flatMap { index, grid in
            (kept?[index] ?? Array(0..<grid.count)).map { place in
                let inStep = place % (grid.height * grid.width)
                return (inStep / grid.width, inStep % grid.width, grid)
            }
        }
    }

    /// The same batch with fewer patches: `keeping` gives the places to keep of each picture, ascending.
    public func keeping(_ places: [[Int]]) throws -> PatchBatch {
        precondition(kept == nil && places.count == grids.count)
        var rows: [Int] = [], start = 0
        for (grid, places) in zip(grids, places) {
            precondition(places.allSatisfy { 0..<grid.count ~= $0 }, "a place outside the grid")
            rows += places.map { start + $0 }
            start += grid.count
        }
        return PatchBatch(
            patches: try patches.indexSelect(0, Tensor(rows).to(patches.device)), grids: grids, kept: places)
    }
}

/// What a vision transformer gives: a row for each token, picture after picture.
public struct VisionTokens: Sendable {
    /// `[tokens of all pictures, hidden]`; a picture's class token, if there is one, comes first.
    public var features: Tensor
    public var grids: [PatchGrid]
    public var segments: Segments
    public var hasClassToken: Bool

    /// `[pictures, hidden]`; nil in a tower without class tokens.
    public func classTokens() throws -> Tensor? {
        guard hasClassToken else { return nil }
        return try features.indexSelect(0, Tensor(Array(segments.offsets.dropLast())).to(features.device))
    }

    /// The same without class tokens.
    public func patchesOnly() throws -> VisionTokens {
        guard hasClassToken else { return self }
        let rows = (0..<segments.count).flatMap { Array(segments.range($0).dropFirst()) }
        return VisionTokens(
            features: try features.indexSelect(0, Tensor(rows).to(features.device)), grids: grids,
            segments: Segments(lengths: segments.lengths.map { $0 - 1 }), hasClassToken: false)
    }

    /// `[pictures, tokens, hidden]`. Throws `ProcessingError.unsupported` where pictures have different numbers of them.
    public func stacked() throws -> Tensor {
        guard let length = segments.lengths.first, segments.lengths.allSatisfy({ $0 == length }) else {
            throw ProcessingError.unsupported("pictures with different numbers of patches cannot be stacked")
        }
        return try features.reshape([segments.count, length, features.size(1)])
    }
}
