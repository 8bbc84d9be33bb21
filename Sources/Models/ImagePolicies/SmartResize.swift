internal import Foundation

/// Qwen2-VL's choice of a size: both sides multiples of a factor, the number of pixels between two limits, the shape
/// kept as well as that allows.
public struct SmartResize: Sendable, Hashable {
    /// The published versions, which differ for very small pictures.
    public enum Version: String, Sendable, Hashable, CaseIterable {
        /// transformers 4.45: refuses sides below the factor and has no lower bound when shrinking.
        case transformers4 = "transformers_4_45"
        /// transformers 5: at least one factor a side when shrinking.
        case transformers5 = "transformers_5"
        /// WePOINTS: as transformers 4.45, but nothing is refused for a side below the factor, not even a thin shape.
        case points15 = "points15"
    }

    public var factor: Int
    public var minPixels: Int
    public var maxPixels: Int
    public var version: Version

    public init(factor: Int = 28, minPixels: Int = 3136, maxPixels: Int = 12_845_056, version: Version = .transformers5)
    {
        self.factor = factor
        self.minPixels = minPixels
        self.maxPixels = maxPixels
        self.version = version
    }

    /// The size to resize to. Throws `ProcessingError.imageSize` for pictures that the rule refuses.
    public func size(height: Int, width: Int) throws -> (height: Int, width: Int) {
        func refuse(_ reason: String) -> ProcessingError { .imageSize(width: width, height: height, reason: reason) }
        guard height > 0, width > 0 else { throw refuse("it has no pixels") }
        // No file holds such a picture, and products of larger sides might overflow.
        guard max(height, width) <= 1 << 20 else { throw refuse("a side has more than \(1 << 20) pixels") }
        if version == .transformers4, height < factor || width < factor {
            throw refuse("both sides must be at least \(factor)")
        }
        let ratio = Double(max(height, width)) / Double(min(height, width))
        if ratio > 200, version != .points15 || min(height, width) >= factor {
            throw refuse("one side is more than 200 times the other")
        }
        // Python's round: half to even.
        func rounded(_ side: Int) -> Int { Int((Double(side) / Double(factor)).rounded(.toNearestOrEven)) * factor }
        var newHeight = rounded(height), newWidth = rounded(width)
        if newHeight * newWidth > maxPixels {
            let beta = (Double(height) * Double(width) / Double(maxPixels)).squareRoot()
            newHeight = Int((Double(height) / beta / Double(factor)).rounded(.down)) * factor
            newWidth = Int((Double(width) / beta / Double(factor)).rounded(.down)) * factor
            if version == .transformers5 {
                newHeight = max(factor, newHeight)
                newWidth = max(factor, newWidth)
            }
        } else if newHeight * newWidth < minPixels {
            let beta = (Double(minPixels) / (Double(height) * Double(width))).squareRoot()
            newHeight = Int((Double(height) * beta / Double(factor)).rounded(.up)) * factor
            newWidth = Int((Double(width) * beta / Double(factor)).rounded(.up)) * factor
        }
        return (newHeight, newWidth)
    }
}
