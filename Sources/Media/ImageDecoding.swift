import CMedia

/// How a file's pixels become RGB8.
public enum DecodePolicy: Sendable, CaseIterable {
    /// As the reference implementations load pictures, by Pillow's `Image.open(file).convert("RGB")`: the EXIF
    /// orientation is ignored (but for TIFF), transparency is dropped, and 16-bit grey is clipped at 255 rather than scaled.
    case asPillow
    /// As people see the picture: the EXIF orientation is applied, transparency lies over white, and 16-bit grey keeps
    /// its high byte.
    case upright
}

/// At which size a picture is decoded.
public enum DecodeScale: Sendable, Equatable {
    case full
    /// The smallest of 1/8, 1/4, 1/2 and full size that has at least this many pixels either way, for JPEG, whose
    /// transform can do this nearly for free; full size for the other formats. Not the pixels of a full decoding that
    /// is then resized: use it where speed matters more than parity.
    case atLeast(width: Int, height: Int)
}

extension Image {
    /// Decodes the first picture in `bytes`.
    ///
    /// - Parameters:
    ///   - bytes: a whole JPEG, PNG, WebP, GIF, BMP or TIFF file.
    ///   - name: stands for the bytes in errors.
    /// - Throws: `MediaError`; a damaged or incomplete file is an error, never a partial picture.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, name: String = "picture", policy: DecodePolicy = .upright,
        limits: DecodeLimits = DecodeLimits(), scale: DecodeScale = .full
    ) throws(MediaError) -> Image {
        guard bytes.count <= limits.maxBytes else {
            throw .tooManyBytes(name: name, bytes: bytes.count, limit: limits.maxBytes)
        }
        var header = try cm_info(bytes, name: name)
        let format = ImageFormat(header.format)
        // Pillow itself turns TIFF files as it loads them.
        let turns = header.orientation != 1 && (policy == .upright || header.format == CM_FORMAT_TIFF)
        let eighths = try chooseEighths(header, name: name, turns: turns, limits: limits, scale: scale)
        let width = (Int(header.width) * eighths + 7) / 8
        let height = (Int(header.height) * eighths + 7) / 8
        var failure = cm_failure()
        let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
            failure = cm_decode(
                bytes.assumingMemoryBound(to: UInt8.self).baseAddress, bytes.count, &header,
                policy == .upright ? CM_OVER_WHITE : CM_AS_PILLOW, Int32(eighths), buffer.baseAddress)
            count = failure.status == CM_OK ? width * height * 3 : 0
        }
        try failure.check(name: name, format: format)
        let image = Image(width: width, height: height, pixels: pixels)
        return turns ? image.turned(exifOrientation: Int(header.orientation)) : image
    }

    /// The picture as people see it, if it is stored with this EXIF orientation (1...8; others change nothing).
    public func turned(exifOrientation orientation: Int) -> Image {
        guard (2...8).contains(orientation) else { return self }
        let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { buffer, count in
            cm_orient(pixels, Int64(width), Int64(height), Int32(orientation), buffer.baseAddress)
            count = pixels.count
        }
        return orientation >= 5
            ? Image(width: height, height: width, pixels: turned)
            : Image(width: width, height: height, pixels: turned)
    }

    /// Decodes the first picture in `bytes`; see `decode(_:name:policy:limits:scale:)` on raw bytes.
    public static func decode(
        _ bytes: [UInt8], name: String = "picture", policy: DecodePolicy = .upright,
        limits: DecodeLimits = DecodeLimits(), scale: DecodeScale = .full
    ) throws(MediaError) -> Image {
        try bytes.withUnsafeBytes { bytes in
            Result { () throws(MediaError) in
                try decode(bytes, name: name, policy: policy, limits: limits, scale: scale)
            }
        }.get()
    }

    /// Decodes the picture in the file at `path`, which errors name.
    public init(
        contentsOf path: String, policy: DecodePolicy = .upright, limits: DecodeLimits = DecodeLimits(),
        scale: DecodeScale = .full
    ) throws(MediaError) {
        let bytes = try readFile(path, limit: limits.maxBytes)
        self = try Image.decode(bytes, name: path, policy: policy, limits: limits, scale: scale)
    }

    /// How many eighths of the declared size to decode, after checking the limits.
    private static func chooseEighths(
        _ header: cm_info, name: String, turns: Bool, limits: DecodeLimits, scale: DecodeScale
    ) throws(MediaError) -> Int {
        let width = Int(header.width)
        let height = Int(header.height)
        let isJPEG = header.format == CM_FORMAT_JPEG
        func fits(_ eighths: Int) -> Bool {
            let (pixels, overflow) = ((width * eighths + 7) / 8).multipliedReportingOverflow(
                by: (height * eighths + 7) / 8)
            return !overflow && pixels <= limits.maxPixels
        }
        var eighths = 8
        if isJPEG, case .atLeast(let wantedWidth, let wantedHeight) = scale {
            let swaps = turns && header.orientation >= 5
            let (needWidth, needHeight) = swaps ? (wantedHeight, wantedWidth) : (wantedWidth, wantedHeight)
            for candidate in [1, 2, 4]
            where eighths == 8 && (width * candidate + 7) / 8 >= needWidth && (height * candidate + 7) / 8 >= needHeight
            {
                eighths = candidate
            }
        }
        if isJPEG, limits.shrinksOversizedJPEG {
            while eighths > 1 && !fits(eighths) { eighths /= 2 }
        }
        // What is decoded counts, and for JPEG the header too: progressive files are held whole as coefficients.
        guard fits(eighths), limits.shrinksOversizedJPEG && isJPEG || fits(8) else {
            throw .tooManyPixels(name: name, width: width, height: height, limit: limits.maxPixels)
        }
        return eighths
    }
}
