public import Media
public import Torch

/// How pictures are resized and cut up for the vision tower.
public protocol ImagePolicy: Sendable {
    /// The layout of a picture of this size in pixels, known before it is decoded.
    ///
    /// - Throws: `ProcessingError.imageSize` for pictures that the policy refuses.
    func layout(width: Int, height: Int) throws -> VisualLayout

    /// Features that the vision part gives for a layout of this policy.
    func featureCount(_ layout: VisualLayout) -> Int

    /// Resizes, cuts and normalises.
    func item(_ image: Image) throws -> VisualItem

    /// Side of the tower's patches in pixels.
    var patchSize: Int { get }

    /// Patches a side that become one feature; nil where they are no whole number, or features are of no places.
    var patchesPerFeature: Int? { get }

    /// Whether a feature is of a part of the picture, and not of all of it, as a resampler's are.
    var featuresHavePlaces: Bool { get }

    var normalization: PixelNormalization { get }

    /// What the tower sees of an item of this policy, put together again: frames or tiles,
    /// `[pictures, 3, height, width]`, normalised.
    func pictures(_ item: VisualItem) throws -> Tensor

    /// The pixels that a picture may have once it is resized; nil where there is no such choice.
    var pixelLimits: ClosedRange<Int>? { get }

    /// The same policy with other limits of pixels.
    ///
    /// - Throws: `ProcessingError.unsupported` where there is no such choice.
    func limitingPixels(min: Int?, max: Int?) throws -> Self

    /// The most tiles that a picture is cut into, without the thumbnail; nil where there is no such choice.
    var maxTiles: Int? { get }

    /// The same policy with another limit of tiles.
    ///
    /// - Throws: `ProcessingError.unsupported` where there is no such choice.
    func limitingTiles(_ max: Int) throws -> Self
}

extension ImagePolicy {
    public var pixelLimits: ClosedRange<Int>? { nil }
    public var maxTiles: Int? { nil }
    public var featuresHavePlaces: Bool { true }

    public func limitingPixels(min: Int?, max: Int?) throws -> Self {
        guard min != nil || max != nil else { return self }
        throw ProcessingError.unsupported("this model's pictures have a fixed size; leave out the limits of pixels")
    }

    public func limitingTiles(_ max: Int) throws -> Self {
        throw ProcessingError.unsupported("this model does not cut pictures into tiles; leave out their limit")
    }
}

/// A policy that cuts pictures into squares of one size.
public protocol TilePolicy: ImagePolicy {
    var tile: TileShape { get }
}

extension TilePolicy {
    public var patchSize: Int { tile.patchSize }
    public var normalization: PixelNormalization { tile.normalization }
    public var featuresHavePlaces: Bool { tile.featuresHavePlaces }

    public var patchesPerFeature: Int? {
        guard tile.featuresHavePlaces else { return nil }
        let patches = tile.size / tile.patchSize
        return (1...patches).first { patches.isMultiple(of: $0) && patches / $0 * (patches / $0) == tile.features }
    }

    public func pictures(_ item: VisualItem) throws -> Tensor {
        _ = try item.tileGrid()
        return item.pixels
    }
}
