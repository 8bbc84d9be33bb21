/// What can be wrong with a picture or a video, or with what was asked of one.
///
/// Every case names the file (or whatever name the caller gave its bytes) and says in Omma's own words what is wrong:
/// messages of the native libraries never appear, since they may hold addresses or parts of the file.
public enum MediaError: Error, Sendable, Equatable {
    /// The file could not be opened, read or written.
    case unreadable(name: String, reason: String)
    /// The bytes are none of JPEG, PNG, WebP, GIF, BMP and TIFF.
    case unknownFormat(name: String, reason: String)
    /// The file ends before the picture does.
    case truncated(name: String, format: ImageFormat?, reason: String)
    /// The file contradicts itself.
    case corrupt(name: String, format: ImageFormat?, reason: String)
    /// The file uses a feature that is deliberately not read.
    case unsupported(name: String, format: ImageFormat?, reason: String)
    /// The file has more bytes than `DecodeLimits.maxBytes`.
    case tooManyBytes(name: String, bytes: Int, limit: Int)
    /// The picture has more pixels than `DecodeLimits.maxPixels`; it was not decoded.
    case tooManyPixels(name: String, width: Int, height: Int, limit: Int)
    /// There is not enough memory.
    case outOfMemory(name: String)
    /// A size, box or index that was asked for makes no sense for the picture or video.
    case invalidRequest(name: String, reason: String)
}

extension MediaError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unreadable(let name, let reason): "cannot read or write '\(name)': \(reason)"
        case .unknownFormat(let name, let reason):
            "'\(name)' is not a picture: \(reason); JPEG, PNG, WebP, GIF, BMP and TIFF are read"
        case .truncated(let name, let format, let reason): "'\(name)'\(Self.kind(format)) is cut short: \(reason)"
        case .corrupt(let name, let format, let reason): "'\(name)'\(Self.kind(format)) is damaged: \(reason)"
        case .unsupported(let name, let format, let reason): "'\(name)'\(Self.kind(format)) is not supported: \(reason)"
        case .tooManyBytes(let name, let bytes, let limit): "'\(name)' has \(bytes) bytes; the limit is \(limit)"
        case .tooManyPixels(let name, let width, let height, let limit):
            "'\(name)' has \(width)×\(height) = \(width * height) pixels; the limit is \(limit)"
        case .outOfMemory(let name): "there is not enough memory for '\(name)'"
        case .invalidRequest(let name, let reason): "cannot do this with '\(name)': \(reason)"
        }
    }

    private static func kind(_ format: ImageFormat?) -> String { format.map { " (\($0))" } ?? "" }
}
