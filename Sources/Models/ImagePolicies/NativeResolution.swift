public import Media
internal import Torch

/// Pictures at their own resolution, rounded to whole patches (Qwen2-VL, POINTS 1.5).
public struct NativeResolution: ImagePolicy, Hashable {
    public var patchSize: Int
    public var temporalPatchSize: Int
    /// Patches a side that become one token.
    public var mergeSize: Int
    public var resize: SmartResize
    public var normalization: PixelNormalization
    public var filter: ResizeFilter
    /// POINTS 1.5's own limit of pixels, to which larger pictures shrink before anything else; nil for none.
    public var firstMaxPixels: Int?

    public init(
        patchSize: Int = 14, temporalPatchSize: Int = 2, mergeSize: Int = 2, minPixels: Int = 3136,
        maxPixels: Int = 12_845_056, normalization: PixelNormalization = .clip, filter: ResizeFilter = .bicubic,
        version: SmartResize.Version = .transformers5
    ) {
        self.patchSize = patchSize
        self.temporalPatchSize = temporalPatchSize
        self.mergeSize = mergeSize
        resize = SmartResize(
            factor: patchSize * mergeSize, minPixels: minPixels, maxPixels: maxPixels, version: version)
        self.normalization = normalization
        self.filter = filter
    }

    /// The grid of a picture of this size, known before it is decoded.
    public func grid(width: Int, height: Int, frames: Int = 1) throws -> PatchGrid {
        let (width, height) = firstSize(width: width, height: height)
        let size = try resize.size(height: height, width: width)
        guard size.height > 0, size.width > 0 else {
            throw ProcessingError.imageSize(
                width: width, height: height, reason: "it shrinks to nothing under the pixel limit")
        }
        return PatchGrid(
            time: (frames + temporalPatchSize - 1) / temporalPatchSize, height: size.height / patchSize,
            width: size.width / patchSize)
    }

    /// The size under the first limit.
    private func firstSize(width: Int, height: Int) -> (width: Int, height: Int) {
        guard let firstMaxPixels, width > 0, height > 0, width <= 1 << 20, height <= 1 << 20,
            width * height > firstMaxPixels
        else { return (width, height) }
        let beta = (Double(width * height) / Double(firstMaxPixels)).squareRoot()
        return (max(1, Int(Double(width) / beta)), max(1, Int(Double(height) / beta)))
    }

    public func tokenCount(_ grid: PatchGrid) -> Int { grid.count / (mergeSize * mergeSize) }

    public func layout(width: Int, height: Int) throws -> VisualLayout {
        .patches(try grid(width: width, height: height))
    }

    public func featureCount(_ layout: VisualLayout) -> Int {
        guard case .patches(let grid) = layout else { return 0 }
        return tokenCount(grid)
    }

    public var pixelLimits: ClosedRange<Int>? {
        resize.minPixels <= resize.maxPixels ? resize.minPixels...resize.maxPixels : nil
    }

    public func limitingPixels(min: Int?, max: Int?) throws -> NativeResolution {
        guard min != nil || max != nil else { return self }
        // A lower maximum takes the minimum with it, unless that one was asked for, too.
        let largest = max ?? Swift.max(resize.maxPixels, min ?? 0)
        let smallest = min ?? Swift.min(resize.minPixels, largest)
        guard smallest > 0, smallest <= largest else {
            throw ProcessingError.unsupported("pixels from \(smallest) to \(largest) are no range")
        }
        var policy = self
        if resize.version == .points15 {
            policy.firstMaxPixels = max
            if let min { policy.resize.minPixels = min }
        } else {
            policy.resize.minPixels = smallest
            policy.resize.maxPixels = largest
        }
        return policy
    }

    public func item(_ image: Image) throws -> VisualItem { try item(frames: [image], kind: .image) }

    /// All frames take the size of the first; a last step that lacks frames repeats the last one.
    public func item(_ video: Video) throws -> VisualItem { try item(frames: video.frames, kind: .video) }

    private func item(frames: [Image], kind: VisualItem.Kind) throws -> VisualItem {
        guard let first = frames.first else { throw ProcessingError.emptyVideo }
        let grid = try grid(width: first.width, height: first.height, frames: frames.count)
        let (height, width) = (grid.height * patchSize, grid.width * patchSize)
        let resized = try frames.map { frame in
            let first = firstSize(width: frame.width, height: frame.height)
            return try frame.resized(width: first.width, height: first.height, filter: .bicubic)
                .resized(width: width, height: height, filter: filter)
        }
        return VisualItem(
            kind: kind, layout: .patches(grid), pixels: try patches(resized, grid), originalWidth: first.width,
            originalHeight: first.height, patchCount: grid.count, featureCount: tokenCount(grid))
    }

    /// `[patches, 3 × temporal × patch × patch]`: rows in the order (time, block row, block column, row in the block,
    /// column in the block), columns in the order (channel, frame of the step, y, x), as the published processor has it.
    private func patches(_ frames: [Image], _ grid: PatchGrid) throws -> Tensor {
        let area = patchSize * patchSize, rowLength = 3 * temporalPatchSize * area
        let tables = (0..<3).flatMap { normalization.table(channel: $0) }
        let result = try Tensor.empty([grid.count, rowLength])
        guard let base = result.dataPointer?.assumingMemoryBound(to: Float.self) else { return result }
        withExtendedLifetime(result) {
            tables.withUnsafeBufferPointer { tables in
                for time in 0..<grid.time {
                    for step in 0..<temporalPatchSize {
                        let frame = frames[min(time * temporalPatchSize + step, frames.count - 1)]
                        // A step that repeats the frame before it takes over its patches.
                        let repeats = step > 0 && time * temporalPatchSize + step >= frames.count
                        write(
                            frame, grid, tables, to: base + time * grid.height * grid.width * rowLength, step: step,
                            copying: repeats)
                    }
                }
            }
        }
        return result
    }

    private func write(
        _ frame: Image, _ grid: PatchGrid, _ tables: UnsafeBufferPointer<Float>, to base: UnsafeMutablePointer<Float>,
        step: Int, copying: Bool
    ) {
        let area = patchSize * patchSize, rowLength = 3 * temporalPatchSize * area
        let width = grid.width * patchSize
        frame.pixels.withUnsafeBufferPointer { pixels in
            var row = base
            for blockRow in 0..<grid.height / mergeSize {
                for blockColumn in 0..<grid.width / mergeSize {
                    for inner in 0..<mergeSize * mergeSize {
                        let top = (blockRow * mergeSize + inner / mergeSize) * patchSize
                        let left = (blockColumn * mergeSize + inner % mergeSize) * patchSize
                        for channel in 0..<3 {
                            let target = row + (channel * temporalPatchSize + step) * area
                            if copying {
                                target.update(from: target - area, count: area)
                                continue
                            }
                            for y in 0..<patchSize {
                                var source = ((top + y) * width + left) * 3 + channel
                                for x in 0..<patchSize {
                                    target[y * patchSize + x] = tables[channel * 256 + Int(pixels[source])]
                                    source += 3
                                }
                            }
                        }
                        row += rowLength
                    }
                }
            }
        }
    }
}
