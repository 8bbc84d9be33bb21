internal import Media
internal import Torch

/// What all policies that cut pictures into squares have in common.
public struct TileShape: Sendable, Hashable {
    /// Side in pixels.
    public var size: Int
    /// Side of the tower's patches in pixels.
    public var patchSize: Int
    /// Features that the vision part gives for a tile.
    public var features: Int
    public var normalization: PixelNormalization
    /// Whether a feature is of a square of patches, and not of all of them, as a resampler's are.
    public var featuresHavePlaces = true

    public init(size: Int, patchSize: Int, features: Int, normalization: PixelNormalization) {
        self.size = size
        self.patchSize = patchSize
        self.features = features
        self.normalization = normalization
    }

    /// Where a tile lies in a picture.
    struct Place {
        var picture: Image
        var left: Int
        var top: Int

        init(_ picture: Image, left: Int = 0, top: Int = 0) {
            self.picture = picture
            self.left = left
            self.top = top
        }
    }

    /// An item of the tiles at these places, each of which lies whole inside its picture.
    func item(_ grid: TileGrid, _ places: [Place], of original: Image) throws -> VisualItem {
        let side = size / patchSize
        return VisualItem(
            kind: .image, layout: .tiles(grid), pixels: try pixels(places), originalWidth: original.width,
            originalHeight: original.height, patchCount: places.count * side * side,
            featureCount: places.count * features)
    }

    /// `[tiles, 3, size, size]`.
    func pixels(_ places: [Place]) throws -> Tensor {
        let tables = (0..<3).map { normalization.table(channel: $0) }
        let result = try Tensor.empty([places.count, 3, size, size])
        guard let base = result.dataPointer?.assumingMemoryBound(to: Float.self) else { return result }
        withExtendedLifetime(result) {
            for (index, place) in places.enumerated() {
                precondition(
                    place.left >= 0 && place.left + size <= place.picture.width
                        && place.top >= 0 && place.top + size <= place.picture.height, "a tile leaves its picture")
                place.picture.pixels.withUnsafeBufferPointer { pixels in
                    for channel in 0..<3 {
                        tables[channel].withUnsafeBufferPointer { table in
                            var target = base + (index * 3 + channel) * size * size
                            for y in 0..<size {
                                var source = ((place.top + y) * place.picture.width + place.left) * 3 + channel
                                for _ in 0..<size {
                                    target.pointee = table[Int(pixels[source])]
                                    target += 1
                                    source += 3
                                }
                            }
                        }
                    }
                }
            }
        }
        return result
    }
}
