public import Media
public import Torch

/// Pictures of one size whatever theirs is (CLIP, SigLIP, Qwen-VL, MM1).
public struct FixedResolution: Sendable, Hashable {
    public enum Fit: Sendable, Hashable {
        /// Both sides resized, the shape not kept.
        case stretch
        /// The shorter side resized, the middle kept.
        case centerCrop
        /// The longer side resized, the picture in the middle of a field of one colour.
        case pad(red: UInt8, green: UInt8, blue: UInt8)
    }

    public var width: Int
    public var height: Int
    public var fit: Fit
    public var normalization: PixelNormalization
    public var filter: ResizeFilter

    public init(
        width: Int, height: Int, fit: Fit = .stretch, normalization: PixelNormalization = .clip,
        filter: ResizeFilter = .bicubic
    ) {
        self.width = width
        self.height = height
        self.fit = fit
        self.normalization = normalization
        self.filter = filter
    }

    /// Reads `preprocessor_config.json` of `CLIPImageProcessor` and `SiglipImageProcessor`.
    public init(_ reader: ConfigurationReader) throws {
        for flag in ["do_resize", "do_rescale", "do_normalize"] { try reader.require(flag, .bool(true)) }
        let filters: [Int: ResizeFilter] = [0: .nearest, 1: .lanczos, 2: .bilinear, 3: .bicubic]
        let number = try reader.integer("resample", default: 3, in: 0...5)
        guard let filter = filters[number] else {
            throw reader.failure("resample", "is \(number), which is not supported")
        }
        guard let size = try reader.object("size") else { throw reader.failure("size", "is missing") }
        let sides = 1...16384
        if size.has("shortest_edge") {
            let edge = try size.integer("shortest_edge", in: sides)
            try reader.require("do_center_crop", .bool(true))
            guard let crop = try reader.object("crop_size") else { throw reader.failure("crop_size", "is missing") }
            (width, height) = (try crop.integer("width", in: sides), try crop.integer("height", in: sides))
            guard width == edge, height == edge else {
                throw reader.failure("crop_size", "is \(width)×\(height), but size.shortest_edge is \(edge)")
            }
            fit = .centerCrop
        } else {
            (width, height) = (try size.integer("width", in: sides), try size.integer("height", in: sides))
            try reader.require("do_center_crop", .bool(false))
            fit = .stretch
        }
        self.filter = filter
        normalization = try PixelNormalization(reader)
        try reader.finish(harmless: [
            "image_processor_type", "processor_class", "feature_extractor_type", "do_convert_rgb",
        ])
    }

    /// The picture as the tower sees it, still in bytes.
    public func fitted(_ image: Image) throws -> Image {
        switch fit {
        case .stretch: return try image.resized(width: width, height: height, filter: filter)
        case .centerCrop:
            // As the reference: the longer side is cut to a whole number before the middle is taken.
            let edge = max(width, height), short = min(image.width, image.height)
            let scaled = try image.resized(
                width: image.width == short ? edge : edge * image.width / short,
                height: image.height == short ? edge : edge * image.height / short, filter: filter)
            return try scaled.cropped(
                x: (scaled.width - width) / 2, y: (scaled.height - height) / 2, width: width, height: height)
        case .pad(let red, let green, let blue):
            let scale = min(Double(width) / Double(image.width), Double(height) / Double(image.height))
            let inner = try image.resized(
                width: min(width, max(1, Int((Double(image.width) * scale).rounded()))),
                height: min(height, max(1, Int((Double(image.height) * scale).rounded()))), filter: filter)
            var field = Image(width: width, height: height, red: red, green: green, blue: blue)
            field.paste(inner, x: (width - inner.width) / 2, y: (height - inner.height) / 2)
            return field
        }
    }

    /// `[3, height, width]`, float32.
    public func pixels(_ image: Image) throws -> Tensor { try normalization.tensor(fitted(image)) }
}

extension PixelNormalization {
    /// Reads `image_mean`, `image_std` and `rescale_factor`; what the file lacks is as published.
    init(_ reader: ConfigurationReader, default published: PixelNormalization = .clip) throws {
        let deviation = try reader.numbers("image_std", count: 3) ?? published.deviation
        guard deviation.allSatisfy({ $0 > 0 }) else {
            throw reader.failure("image_std", "holds a number that is not positive")
        }
        self.init(
            mean: try reader.numbers("image_mean", count: 3) ?? published.mean, deviation: deviation,
            rescale: try reader.number("rescale_factor", default: published.rescale))
    }

    /// `[3, height, width]`, float32: the picture's bytes, normalised.
    public func tensor(_ image: Image) throws -> Tensor {
        let area = image.width * image.height
        let values = [Float](unsafeUninitializedCapacity: 3 * area) { buffer, count in
            for channel in 0..<3 {
                let table = table(channel: channel)
                for place in 0..<area {
                    buffer[channel * area + place] = table[Int(image.pixels[place * 3 + channel])]
                }
            }
            count = 3 * area
        }
        return try Tensor(values, shape: [3, image.height, image.width])
    }
}

extension Image {
    /// Copies a picture that lies within this one.
    fileprivate mutating func paste(_ other: Image, x: Int, y: Int) {
        precondition(x >= 0 && y >= 0 && x + other.width <= width && y + other.height <= height)
        for row in 0..<other.height {
            let target = ((y + row) * width + x) * 3, source = row * other.width * 3, length = other.width * 3
            pixels.replaceSubrange(target..<target + length, with: other.pixels[source..<source + length])
        }
    }
}
