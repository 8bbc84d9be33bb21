import CMedia

/// The picture formats that are read, told apart by a file's first bytes, never by its name.
public enum ImageFormat: String, Sendable, CaseIterable, CustomStringConvertible {
    case jpeg = "JPEG"
    case png = "PNG"
    case webp = "WebP"
    case gif = "GIF"
    case bmp = "BMP"
    case tiff = "TIFF"

    public var description: String { rawValue }

    init?(_ format: cm_format) {
        switch format {
        case CM_FORMAT_JPEG: self = .jpeg
        case CM_FORMAT_PNG: self = .png
        case CM_FORMAT_WEBP: self = .webp
        case CM_FORMAT_GIF: self = .gif
        case CM_FORMAT_BMP: self = .bmp
        case CM_FORMAT_TIFF: self = .tiff
        default: return nil
        }
    }
}

/// How big a picture may be; checked before anything of its size is allocated.
public struct DecodeLimits: Sendable, Equatable {
    /// Bytes of the file.
    public var maxBytes: Int
    /// Pixels, as the header declares them.
    public var maxPixels: Int
    /// Whether a JPEG with too many pixels is decoded at a half, a quarter or an eighth of its size instead of refused.
    public var shrinksOversizedJPEG: Bool

    public init(maxBytes: Int = 64 << 20, maxPixels: Int = 90_000_000, shrinksOversizedJPEG: Bool = false) {
        self.maxBytes = maxBytes
        self.maxPixels = maxPixels
        self.shrinksOversizedJPEG = shrinksOversizedJPEG
    }
}

/// What a picture's header says, read without decoding it.
public struct ImageInfo: Sendable, Equatable {
    public let format: ImageFormat
    /// Pixels as stored, before the orientation is applied.
    public let width: Int
    public let height: Int
    /// EXIF orientation, 1...8; 1 where the file has none or an impossible one.
    public let orientation: Int
    public let hasAlpha: Bool
    /// Whether there are further frames; only the first is ever decoded as a picture.
    public let isAnimated: Bool

    /// Width and height after the orientation is applied.
    public var uprightSize: (width: Int, height: Int) {
        orientation >= 5 ? (height, width) : (width, height)
    }

    /// Reads the header of `bytes`; `name` stands for them in errors.
    public init(_ bytes: UnsafeRawBufferPointer, name: String = "picture") throws(MediaError) {
        self.init(try cm_info(bytes, name: name), format: try Self.format(bytes, name: name))
    }

    /// Reads the header of `bytes`; `name` stands for them in errors.
    public init(_ bytes: [UInt8], name: String = "picture") throws(MediaError) {
        self = try bytes.withUnsafeBytes { bytes in
            Result { () throws(MediaError) in try ImageInfo(bytes, name: name) }
        }.get()
    }

    /// Reads the header of the file at `path`.
    public init(contentsOf path: String, limits: DecodeLimits = DecodeLimits()) throws(MediaError) {
        try self.init(try readFile(path, limit: limits.maxBytes), name: path)
    }

    init(_ info: cm_info, format: ImageFormat) {
        self.format = format
        width = Int(info.width)
        height = Int(info.height)
        orientation = Int(info.orientation)
        hasAlpha = info.has_alpha != 0
        isAnimated = info.is_animated != 0
    }

    private static func format(_ bytes: UnsafeRawBufferPointer, name: String) throws(MediaError) -> ImageFormat {
        let start = bytes.assumingMemoryBound(to: UInt8.self).baseAddress
        guard let format = ImageFormat(cm_sniff(start, bytes.count)) else {
            throw .unknownFormat(name: name, reason: unknownReason(bytes))
        }
        return format
    }
}

extension cm_info {
    /// Reads the header of `bytes`.
    init(_ bytes: UnsafeRawBufferPointer, name: String) throws(MediaError) {
        self.init()
        let failure = cm_probe(bytes.assumingMemoryBound(to: UInt8.self).baseAddress, bytes.count, &self)
        guard failure.status != CM_UNKNOWN_FORMAT else {
            throw .unknownFormat(name: name, reason: unknownReason(bytes))
        }
        try failure.check(name: name, format: ImageFormat(format))
    }
}

extension cm_failure {
    /// Throws what this failure says about the file `name`.
    func check(name: String, format: ImageFormat? = nil) throws(MediaError) {
        guard status != CM_OK else { return }
        let reason = reason.map { String(cString: $0) } ?? "it cannot be read"
        switch status {
        case CM_UNKNOWN_FORMAT: throw .unknownFormat(name: name, reason: reason)
        case CM_TRUNCATED: throw .truncated(name: name, format: format, reason: reason)
        case CM_UNSUPPORTED, CM_TOO_LARGE: throw .unsupported(name: name, format: format, reason: reason)
        case CM_OUT_OF_MEMORY: throw .outOfMemory(name: name)
        case CM_IO: throw .unreadable(name: name, reason: reason)
        default: throw .corrupt(name: name, format: format, reason: reason)
        }
    }
}

/// Why bytes that no format claims are no picture, as far as their beginning tells.
private func unknownReason(_ bytes: UnsafeRawBufferPointer) -> String {
    if bytes.isEmpty { return "it is empty" }
    let start = bytes.prefix(64)
    let isText = start.allSatisfy { ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
    return isText ? "it looks like text" : "its first bytes are those of no picture format"
}

/// The whole file, if it has at most `limit` bytes.
func readFile(_ path: String, limit: Int) throws(MediaError) -> [UInt8] {
    var file = cm_file()
    try cm_file_open(path, &file).check(name: path)
    defer { cm_file_close(&file) }
    guard file.size <= limit else { throw .tooManyBytes(name: path, bytes: Int(file.size), limit: limit) }
    var failure = cm_failure()
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(file.size)) { buffer, count in
        failure = cm_file_read(&file, buffer.baseAddress)
        count = failure.status == CM_OK ? Int(file.size) : 0
    }
    try failure.check(name: path)
    return bytes
}
