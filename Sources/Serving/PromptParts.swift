public import Models

/// A message as a client sent it: typed parts, pictures still as files.
public struct EncodedMessage: Sendable {
    public enum Part: Sendable {
        case text(String)
        /// A JPEG, PNG, WebP, GIF, BMP or TIFF file.
        case image([UInt8])
        /// Frames of a video, each a file like a picture's.
        case video(frames: [[UInt8]], framesPerSecond: Double)
    }

    public var role: Role
    public var parts: [Part]

    public init(_ role: Role, _ parts: [Part]) {
        self.role = role
        self.parts = parts
    }

    var files: [[UInt8]] {
        parts.flatMap { part -> [[UInt8]] in
            switch part {
            case .text: []
            case .image(let file): [file]
            case .video(let frames, _): frames
            }
        }
    }
}

/// What the pictures and texts of one request may be.
public struct PromptLimits: Sendable, Hashable {
    /// Pictures and frames of one request.
    public var maxPictures: Int
    /// Bytes of one picture's file.
    public var maxPictureBytes: Int
    /// Pixels of one picture, as its header declares them.
    public var maxPicturePixels: Int
    /// Messages of one request.
    public var maxMessages: Int

    public init(
        maxPictures: Int = 16, maxPictureBytes: Int = 20 << 20, maxPicturePixels: Int = 90_000_000,
        maxMessages: Int = 512
    ) {
        self.maxPictures = maxPictures
        self.maxPictureBytes = maxPictureBytes
        self.maxPicturePixels = maxPicturePixels
        self.maxMessages = maxMessages
    }
}

/// A request that is refused for its pictures or its length, and which part of it is to blame.
public struct PromptError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable { case picture, format, length, count, model }

    public var kind: Kind
    public var message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }
}
